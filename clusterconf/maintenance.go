package clusterconf

import (
	"fmt"
	"time"

	"mxcluster/internal/fault"
)

// Maintenance says that people work on a server or on a cluster: since when, until when
// they mean to, who and why.
type Maintenance struct {
	Since  time.Time  `yaml:"since" json:"since"`                     // UTC
	Until  *time.Time `yaml:"until,omitempty" json:"until,omitempty"` // UTC; nil: no end was given
	By     string     `yaml:"by,omitempty" json:"by,omitempty"`
	Reason string     `yaml:"reason,omitempty" json:"reason,omitempty"`

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// UntilBy adds to a phrase until when it holds, by whom and why, as far as they are known:
// "drained until 2026-03-01T03:00:00Z by root (new disk)".
func UntilBy(phrase string, until *time.Time, by, reason string) string {
	if until != nil {
		phrase += " until " + timeText(*until)
	}
	if by != "" {
		phrase += " by " + by
	}
	if reason != "" {
		phrase += " (" + reason + ")"
	}
	return phrase
}

// words says it in one phrase that begins with a verb, see [UntilBy].
func (m *Maintenance) words(verb string) string { return UntilBy(verb, m.Until, m.By, m.Reason) }

// String says all of it on one line. Of none there is nothing to say.
func (m *Maintenance) String() string {
	if m == nil {
		return ""
	}
	return m.words("since " + timeText(m.Since))
}

func (m *Maintenance) clone() *Maintenance {
	c := cloneOf(m)
	if c != nil {
		c.Until = cloneOf(c.Until)
	}
	return c
}

// newMaintenance returns one with its times as the document keeps them.
func newMaintenance(since time.Time, by, reason string, until *time.Time) *Maintenance {
	m := &Maintenance{Since: stored(since), By: by, Reason: reason, Until: cloneOf(until)}
	if m.Until != nil {
		*m.Until = stored(*m.Until)
	}
	return m
}

// renewed returns what to keep where there is one already: that, unless another end or
// reason is given.
func (m *Maintenance) renewed(next *Maintenance) *Maintenance {
	if m == nil {
		return next
	}
	next.Since, next.Others = m.Since, m.Others
	if next.Until == nil {
		next.Until = m.Until
	}
	if next.Reason == "" {
		next.Reason = m.Reason
	}
	if sameTime(m.Until, next.Until) && next.Reason == m.Reason {
		return m
	}
	return next
}

// usable checks what can be said without the document; what names it in errors.
func (m *Maintenance) usable(what string) error {
	return usablePeriod(what, "who wants "+what+" and why", m.Since, m.Until, m.By, m.Reason)
}

// usablePeriod checks since when and until when something holds, and who wants it and why.
func usablePeriod(what, whoAndWhy string, since time.Time, until *time.Time, by, reason string) error {
	switch {
	case !oneLine(by) || !oneLine(reason):
		return fault.New(fault.Usage, "use one line without control characters",
			"%s must be one line each of at most %d bytes", whoAndWhy, maxText)
	case since.IsZero():
		return fault.New(fault.Usage, "", "%s has no time at which it begins", what)
	case until != nil && !until.After(since):
		return fault.New(fault.Usage, "give a time to come, e.g. --for 2h",
			"%s would end at %s, before it begins", what, timeText(*until))
	}
	return nil
}

// DrainedWords says that the server, which it names, is drained, until when, by whom and
// why; "": it is not.
func (s *Server) DrainedWords() string {
	if s.Drained == nil {
		return ""
	}
	return s.Name + " is " + s.Drained.words("drained")
}

// FrozenAt reports whether no LIM of the cluster moves by itself at a time.
func (c *Cluster) FrozenAt(now time.Time) bool {
	return c.Frozen != nil && (c.Frozen.Until == nil || now.Before(*c.Frozen.Until))
}

// FrozenWords says that the cluster, which it names, is frozen, until when, by whom and
// why; "": it is not.
func (c *Cluster) FrozenWords() string {
	if c.Frozen == nil {
		return ""
	}
	return "cluster " + c.Name + " is " + c.Frozen.words("frozen")
}

// DrainServer has nothing run on a server from since on, which is the present time,
// until UndrainServer: the end that may be given is when people mean to be done, and
// ends nothing. A lock that holds a LIM on that server refuses it; with unlock it is
// taken off.
func (d *Document) DrainServer(name string, since time.Time, by, reason string, until *time.Time, unlock bool) error {
	m := newMaintenance(since, by, reason, until)
	if err := m.usable("the drain of server " + name); err != nil {
		return err
	}
	s, err := d.needServer(name)
	if err != nil {
		return err
	}
	c := d.ClusterOfServer(name)
	if c == nil {
		return fault.New(fault.Refused, "a server of no cluster has nobody to take its LIM: mxcluster list",
			"cannot drain server %s: it is in no cluster", name)
	}
	if other := d.otherDrained(c, s); s.Drained == nil && other != "" {
		return fault.New(fault.Refused, "end that first: mxcluster server undrain "+other,
			"cannot drain server %s: nothing would run its LIMs, for %s", name, d.Server(other).DrainedWords())
	}
	if s.Drained == nil && c.FrozenAt(since) {
		return fault.New(fault.Refused, "end that first: mxcluster unfreeze "+c.Name,
			"cannot drain server %s: %s, and no LIM moves by itself", name, c.FrozenWords())
	}
	side := SideRegular
	if s.Standby {
		side = SideStandby
	}
	for i := range c.LIMs {
		member := &c.LIMs[i]
		switch {
		case side == SideRegular && member.LIM != s.LIM || member.LockedTo(since) != side:
		case !unlock:
			return fault.New(fault.Refused, fmt.Sprintf("unlock it first: mxcluster unlock %d, or give --move, which takes the lock off", member.LIM),
				"cannot drain server %s: LIM %d is %s", name, member.LIM, member.Lock)
		default:
			member.Lock = nil
		}
	}
	s.Drained = s.Drained.renewed(m)
	return nil
}

// otherDrained names a drained server without which the LIMs of one could run nowhere;
// "": there is none.
func (d *Document) otherDrained(c *Cluster, s *Server) string {
	if !s.Standby {
		if d.Server(c.Standby).Drained != nil {
			return c.Standby
		}
		return ""
	}
	for _, m := range c.LIMs {
		if r := d.RegularOf(m.LIM); r.Drained != nil {
			return r.Name
		}
	}
	return ""
}

// UndrainServer has a server do its part again.
func (d *Document) UndrainServer(name string) error {
	s, err := d.needServer(name)
	if err == nil {
		s.Drained = nil
	}
	return err
}

// FreezeCluster has no LIM of a cluster move by itself from since on, which is the present
// time, until the end, or until UnfreezeCluster where that is nil. A freeze that is there
// already keeps its end where none is given.
func (d *Document) FreezeCluster(name string, since time.Time, by, reason string, until *time.Time) error {
	m := newMaintenance(since, by, reason, until)
	if err := m.usable("the freeze of cluster " + name); err != nil {
		return err
	}
	c, err := d.needCluster(name)
	switch {
	case err != nil:
		return err
	case c.FrozenAt(since):
		c.Frozen = c.Frozen.renewed(m)
	default:
		c.Frozen = m
	}
	return nil
}

// UnfreezeCluster has the LIMs of a cluster move by themselves again.
func (d *Document) UnfreezeCluster(name string) error {
	c, err := d.needCluster(name)
	if err == nil {
		c.Frozen = nil
	}
	return err
}

// drainedSide returns the server that is one side of a LIM of a cluster, if it is
// drained.
func (d *Document) drainedSide(lim int, side Side) *Server {
	s := d.RegularOf(lim)
	if side == SideStandby {
		s = d.Server(d.ClusterOfLIM(lim).Standby)
	}
	if s == nil || s.Drained == nil {
		return nil
	}
	return s
}

func checkMaintenance(d *Document, report reportFunc) {
	for i, s := range d.Servers {
		s.Drained.check(report, at("servers", i)+".drained", "the drain of server "+s.Name)
	}
	for i, c := range d.Clusters {
		c.Frozen.check(report, at("clusters", i)+".frozen", "the freeze of cluster "+c.Name)
	}
}

func (m *Maintenance) check(report reportFunc, path, what string) {
	if m == nil {
		return
	}
	switch {
	case m.Since.IsZero():
		report(path+".since", "write when it began, e.g. 2026-03-01T02:00:00Z", "%s has no beginning", what)
	case m.Until != nil && !m.Until.After(m.Since):
		report(path+".until", "write a later time, or leave it out", "%s ends at %s, before it begins", what, timeText(*m.Until))
	}
	for _, t := range []struct{ key, text string }{{"by", m.By}, {"reason", m.Reason}} {
		if !oneLine(t.text) {
			report(path+"."+t.key, "use one line without control characters", "the %s of %s must be one line of at most %d bytes", t.key, what, maxText)
		}
	}
}
