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

// String says the lock as the reasons of decisions do, so that one can be found in
// the other. Of no lock there is nothing to say.
func (l *Lock) String() string {
	if l == nil {
		return ""
	}
	return (&clusterconf.Lock{To: clusterconf.Side(l.To), Since: l.Since, By: l.By, Reason: l.Reason, Expires: l.Expires}).String()
}
