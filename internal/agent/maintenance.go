package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
)

// drainedFor is how long a drain without an end may last before it counts as forgotten.
const drainedFor = 24 * time.Hour

// drainsLeft returns the servers of a cluster that are drained for longer than intended.
func drainsLeft(d *clusterconf.Document, c *clusterconf.Cluster, now time.Time) []alarms.Condition {
	if c == nil {
		return nil
	}
	var out []alarms.Condition
	for i := range d.Servers {
		s := &d.Servers[i]
		if s.Drained == nil || d.ClusterOfServer(s.Name) != c {
			continue
		}
		end := s.Drained.Since.Add(drainedFor)
		if s.Drained.Until != nil {
			end = *s.Drained.Until
		}
		if !now.Before(end) {
			out = append(out, alarms.Condition{Name: alarms.DrainLeft, Severity: alarms.Warning, Server: s.Name,
				Text: fmt.Sprintf("%s, since %s, and still is: `mxcluster server undrain %s` ends that", s.DrainedWords(), s.Drained.Since.UTC().Format(time.RFC3339), s.Name)})
		}
	}
	return out
}

// ofDrainedServer and ofDrainedLIM are the alarms to be expected from work on a drained server:
// those about that server, and those about a LIM of it.
var (
	ofDrainedServer = []alarms.Name{alarms.StandbyOutOfOrder, alarms.AgentStopped, alarms.DocumentBehind, alarms.NotRedundant}
	ofDrainedLIM    = []alarms.Name{alarms.LIMOnStandby, alarms.SyncFailed, alarms.DataBehind}
)

// expected marks the alarms that follow from drains. A LIM that is down is never expected.
func expected(d *clusterconf.Document, conditions []alarms.Condition) []alarms.Condition {
	drained := func(name string) bool { s := d.Server(name); return s != nil && s.Drained != nil }
	for i := range conditions {
		c := &conditions[i]
		if slices.Contains(ofDrainedServer, c.Name) && drained(c.Server) {
			c.Expected = true
		}
		if cluster := d.ClusterOfLIM(c.LIM); cluster != nil && slices.Contains(ofDrainedLIM, c.Name) {
			regular := d.RegularOf(c.LIM).Name
			c.Expected = c.Expected || drained(regular) || c.Name != alarms.LIMOnStandby && drained(cluster.Standby)
		}
	}
	return conditions
}
