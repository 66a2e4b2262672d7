package status

import (
	"time"

	"mxcluster/clusterconf"
)

// lockOf returns the lock that holds a LIM at a time, nil if there is none or it
// has expired.
func lockOf(m clusterconf.Member, now time.Time) *Lock {
	if m.LockedTo(now) == "" {
		return nil
	}
	l := &Lock{To: string(m.Lock.To), Since: m.Lock.Since.UTC(), By: m.Lock.By, Reason: m.Lock.Reason}
	if m.Lock.Expires != nil {
		l.Expires = utc(*m.Lock.Expires)
	}
	return l
}

// String says the lock in one phrase, such as "locked to regular until
// 2026-03-01T03:00:00Z by root (reboot)". Of no lock there is nothing to say.
func (l *Lock) String() string {
	if l == nil {
		return ""
	}
	text := "locked to " + l.To
	if l.Expires != nil {
		text += " until " + l.Expires.UTC().Format(time.RFC3339)
	}
	if l.By != "" {
		text += " by " + l.By
	}
	if l.Reason != "" {
		text += " (" + l.Reason + ")"
	}
	return text
}
