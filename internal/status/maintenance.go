package status

import (
	"time"

	"mxcluster/clusterconf"
)

// Drained says that a server is drained; nil: it is not.
func Drained(s *clusterconf.Server) *Maintenance {
	if s == nil || s.Drained == nil {
		return nil
	}
	return maintenance(s.Drained)
}

// Frozen says that a cluster is frozen at a time; nil: it is not, or not any more.
func Frozen(c *clusterconf.Cluster, now time.Time) *Maintenance {
	if !c.FrozenAt(now) {
		return nil
	}
	return maintenance(c.Frozen)
}

func maintenance(m *clusterconf.Maintenance) *Maintenance {
	out := &Maintenance{Since: m.Since.UTC(), By: m.By, Reason: m.Reason}
	if m.Until != nil {
		out.Until = utc(*m.Until)
	}
	return out
}

// Words says it in one phrase that begins with a verb, see [clusterconf.UntilBy].
func (m *Maintenance) Words(verb string) string {
	return clusterconf.UntilBy(verb, m.Until, m.By, m.Reason)
}

// String says all of it on one line. Of none there is nothing to say.
func (m *Maintenance) String() string {
	if m == nil {
		return ""
	}
	return (&clusterconf.Maintenance{Since: m.Since, Until: m.Until, By: m.By, Reason: m.Reason}).String()
}
