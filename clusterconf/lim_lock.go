package clusterconf

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// Lock pins a LIM to one side until it is unlocked, or until the lock expires
// (spec ch. 6, "Use LIM Locking at User Controlled Server Reboot", and ch. 10).
type Lock struct {
	To      Side       `yaml:"to" json:"to"`
	Since   time.Time  `yaml:"since" json:"since"` // UTC
	By      string     `yaml:"by,omitempty" json:"by,omitempty"`
	Reason  string     `yaml:"reason,omitempty" json:"reason,omitempty"`
	Expires *time.Time `yaml:"expires,omitempty" json:"expires,omitempty"` // UTC; nil: never

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// String says the lock in one phrase, such as "locked to the regular side until
// 2026-03-01T03:00:00Z by root (reboot)". Of no lock there is nothing to say.
func (l *Lock) String() string {
	if l == nil {
		return ""
	}
	return UntilBy(fmt.Sprintf("locked to the %s side", l.To), l.Expires, l.By, l.Reason)
}

// holds tells whether the lock is there at a time. It no longer is at the very
// instant at which it expires.
func (l *Lock) holds(now time.Time) bool {
	return l != nil && (l.Expires == nil || now.Before(*l.Expires))
}

func (l *Lock) clone() *Lock {
	c := cloneOf(l)
	if c != nil {
		c.Expires = cloneOf(c.Expires)
	}
	return c
}

// LockedTo returns the side that the LIM is locked to at a time, or "" when it
// is not locked or the lock has expired.
func (m Member) LockedTo(now time.Time) Side {
	if !m.Lock.holds(now) {
		return ""
	}
	return m.Lock.To
}

// LockLIM locks a LIM to a side from since on, which is the present time, until
// expires, or until it is unlocked where expires is nil. A lock to the same side
// that is there already keeps its end where expires is nil, and stays as it is
// unless another end or reason is given. One to the other side must be taken off
// first.
func (d *Document) LockLIM(lim int, to Side, since time.Time, by, reason string, expires *time.Time) error {
	lock := newLock(to, since, by, reason, expires)
	if err := lock.usable(lim); err != nil {
		return err
	}
	m, err := d.needMember(lim)
	switch {
	case err != nil:
		return err
	case m == nil:
		return fault.New(fault.Refused, "only a LIM of a cluster has a side to be locked to: mxcluster list",
			"cannot lock LIM %d: it is in no cluster", lim)
	case to == SideStandby && d.ClusterOfLIM(lim).lockedToStandby(lim, since) != 0:
		other := d.ClusterOfLIM(lim).lockedToStandby(lim, since)
		return fault.New(fault.Refused, fmt.Sprintf("unlock that one first: mxcluster unlock %d", other),
			"cannot lock LIM %d to the standby: LIM %d is locked to it, and it runs one LIM at most", lim, other)
	case d.drainedSide(lim, to) != nil:
		s := d.drainedSide(lim, to)
		return fault.New(fault.Refused, "end that first: mxcluster server undrain "+s.Name,
			"cannot lock LIM %d to %s: %s", lim, to, s.DrainedWords())
	case !m.Lock.holds(since):
		m.Lock = lock
		return nil
	case m.Lock.To != to:
		return fault.New(fault.Refused, fmt.Sprintf("unlock it first: mxcluster unlock %d", lim),
			"cannot lock LIM %d to %s: it is locked to %s since %s", lim, to, m.Lock.To, timeText(m.Lock.Since))
	case expires == nil:
		lock.Expires = m.Lock.Expires
	}
	if sameTime(m.Lock.Expires, lock.Expires) && (reason == "" || reason == m.Lock.Reason) {
		return nil
	}
	lock.Others = m.Lock.Others
	m.Lock = lock
	return nil
}

// lockedToStandby returns a LIM other than one that is locked to the standby at a time, or 0.
func (c *Cluster) lockedToStandby(but int, at time.Time) int {
	for _, m := range c.LIMs {
		if m.LIM != but && m.LockedTo(at) == SideStandby {
			return m.LIM
		}
	}
	return 0
}

// newLock returns a lock with its times as the document keeps them.
func newLock(to Side, since time.Time, by, reason string, expires *time.Time) *Lock {
	lock := &Lock{To: to, Since: stored(since), By: by, Reason: reason, Expires: cloneOf(expires)}
	if lock.Expires != nil {
		*lock.Expires = stored(*lock.Expires)
	}
	return lock
}

// usable checks what can be said of a lock without the document.
func (l *Lock) usable(lim int) error {
	switch {
	case !validLIM(lim):
		return badLIM(lim)
	case !slices.Contains(sides, l.To):
		return fault.New(fault.Usage, "write "+alternatives(sides), "%q is not a side to lock LIM %d to", l.To, lim)
	}
	return usablePeriod(fmt.Sprintf("the lock of LIM %d", lim), fmt.Sprintf("who locks LIM %d and why", lim), l.Since, l.Expires, l.By, l.Reason)
}

// UnlockLIM takes a LIM's lock off. What happens then is the business of the
// cluster's fallback type (spec ch. 10).
func (d *Document) UnlockLIM(lim int) error {
	if !validLIM(lim) {
		return badLIM(lim)
	}
	m, err := d.needMember(lim)
	if m != nil {
		m.Lock = nil
	}
	return err
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// stored returns a time as the document keeps it: UTC, in milliseconds.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
