package status

import (
	"maps"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
)

// BuildAlarms answers `alarms list`: what the servers whose word is good have raised.
func BuildAlarms(in Input) *AlarmList {
	out := &AlarmList{APIVersion: clusterconf.APIVersion, Kind: "AlarmList", Observer: in.Observer, Alarms: []Alarm{}, Unseen: []string{}, At: in.Now.UTC()}
	for _, a := range in.raised() {
		out.Alarms = append(out.Alarms, in.alarm(a))
	}
	for _, name := range slices.Sorted(maps.Keys(in.Servers)) {
		if s := in.Servers[name]; name != in.Observer && !s.trusted() && in.Document.Server(name) != nil {
			out.Unseen = append(out.Unseen, name)
		}
	}
	return out
}

// raised puts the alarms of the servers whose word is good together.
func (in *Input) raised() []alarms.Alarm {
	var raised [][]alarms.Alarm
	for name, s := range in.Servers {
		if s.trusted() || name == in.Observer {
			raised = append(raised, in.heardAlarms(name, s.Alarms))
		}
	}
	return alarms.Merge(raised...)
}

// alarms lists what was raised about a cluster, its LIMs, its servers, or the whole system;
// nil: about LIMs and servers of none, and about the system where there is none.
func (in *Input) alarms(c *clusterconf.Cluster) []Alarm {
	out := []Alarm{}
	for _, a := range in.raised() {
		of, system := in.Document.ClusterOfServer(a.Server), a.LIM == 0 && a.Server == ""
		if a.LIM != 0 {
			of = in.Document.ClusterOfLIM(a.LIM)
		}
		if of == c && !system || system && (c != nil || len(in.Document.Clusters) == 0) {
			out = append(out, in.alarm(a))
		}
	}
	return out
}

// alarm is a raised alarm with who noticed it.
func (in *Input) alarm(a alarms.Alarm) Alarm {
	out := Alarm{Handle: a.Handle, Name: string(a.Name), Severity: string(a.Severity), LIM: a.LIM, Server: a.Server,
		Expected: a.Expected, RaisedAt: a.RaisedAt.UTC(), Text: a.Text}
	if n := alarms.NoticeFor(in.Notices, a); n != nil && !n.Cleared {
		out.Noticed, out.Notice = true, &Notice{At: n.At.UTC(), By: n.By, Comment: n.Comment}
	}
	return out
}
