package commands

import (
	"cmp"
	"slices"
	"strings"

	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// alarmsTold is how many alarms are told word for word: one line is all there is.
const alarmsTold = 3

// tellAlarms says below a table which alarms are raised, on standard error: standard
// output has one line for each LIM. Formats for programs have them anyway.
func (a *app) tellAlarms(st *status.ClusterStatus) {
	if a.out.Format != ui.Table && a.out.Format != ui.Wide {
		return
	}
	raised := countedAlarms(st)
	if len(raised) == 0 {
		return
	}
	var words []string
	for _, x := range raised[:min(len(raised), alarmsTold)] {
		words = append(words, x.Text)
	}
	if len(raised) > alarmsTold {
		words = append(words, "…")
	}
	a.out.Note("%s: %s; see 'mxcluster explain N', or 'mxcluster status -o yaml'", count(len(raised), "alarm"), strings.Join(words, "; "))
}

// countedAlarms lists the alarms that count of what a table shows, the gravest first. One
// that is about the whole system is in every cluster, and listed once.
func countedAlarms(st *status.ClusterStatus) []status.Alarm {
	var out []status.Alarm
	for _, c := range st.Clusters {
		for _, x := range c.Alarms {
			if x.Counts() && (x.LIM == 0 || st.LIM(x.LIM) != nil) && !slices.ContainsFunc(out, x.Same) {
				out = append(out, x)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y status.Alarm) int {
		return cmp.Or(strings.Compare(x.Severity, y.Severity), x.RaisedAt.Compare(y.RaisedAt)) // "critical" is before "warning"
	})
	return out
}
