package status

import (
	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
)

// alarms lists what the servers whose word is good have raised about a cluster,
// its LIMs, its servers, or the whole system.
func (in *Input) alarms(c *clusterconf.Cluster) []Alarm {
	var raised [][]alarms.Alarm
	for name, s := range in.Servers {
		if s.trusted() || name == in.Observer {
			raised = append(raised, s.Alarms)
		}
	}
	out := []Alarm{}
	for _, a := range alarms.Merge(raised...) {
		if a.LIM != 0 && c.Member(a.LIM) == nil || a.LIM == 0 && a.Server != "" && in.Document.ClusterOfServer(a.Server) != c {
			continue
		}
		out = append(out, Alarm{Handle: a.Handle, Name: string(a.Name), Severity: string(a.Severity), LIM: a.LIM, Server: a.Server,
			Expected: a.Expected, RaisedAt: a.RaisedAt.UTC(), Text: a.Text})
	}
	return out
}
