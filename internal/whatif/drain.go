package whatif

import (
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// drained returns the document as it would be with servers drained: what is locked to
// them is not any more. Without any it is the document itself.
func drained(d *clusterconf.Document, servers []string) *clusterconf.Document {
	if len(servers) == 0 {
		return d
	}
	d = d.Clone()
	for _, name := range servers {
		s, c := d.Server(name), d.ClusterOfServer(name)
		if s.Drained = (&clusterconf.Maintenance{Since: time.Unix(0, 0)}); c == nil {
			continue
		}
		for i := range c.LIMs {
			m := &c.LIMs[i]
			if s.Standby && m.Lock != nil && m.Lock.To == clusterconf.SideStandby || m.LIM == s.LIM && m.Lock != nil && m.Lock.To == clusterconf.SideRegular {
				m.Lock = nil
			}
		}
	}
	return d
}

// unready says of LIMs that leave drained servers what speaks against that, where the
// standby could run them all the same.
func (w *play) unready(servers []string) map[int]string {
	out := map[int]string{}
	for _, name := range servers {
		n, s := w.nodes[name], w.Document.Server(name)
		if n.cluster == nil || !n.up || s.LIM == 0 || !n.lims[s.LIM].State.Active() {
			continue
		}
		if why, able := failover.FailoverBlockedBy(w.view(n), s.LIM); able && len(why) > 0 {
			out[s.LIM] = strings.Join(why, "; ")
		}
	}
	return out
}
