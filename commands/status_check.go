package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// checkStatus answers as monitoring plugins do: one line, and the code that
// belongs to its first word. What cannot be found out is UNKNOWN.
func checkStatus(ctx context.Context, a *app, cluster string, o statusOptions) error {
	var health, text string
	if st, err := a.status(ctx, cluster, o.lims); err != nil {
		health, text = "unknown", err.Error()
	} else {
		health, text = st.Health, summary(st)
		if st.Removed != "" {
			health = "unknown"
		}
	}
	verdicts := map[string]fault.Code{"ok": 0, "warning": 1, "critical": 2}
	code, known := verdicts[health]
	if !known {
		code = 3
	}
	word := strings.ToUpper(health)
	if err := a.out.Lines(word + " - " + ui.OneLine(text)); err != nil {
		a.out.Warn("%v", err)
		return exitError{3} // to who supervises, the others mean how the clusters are
	}
	if code == 0 {
		return nil
	}
	return exitError{code}
}

// summary says what is not as it should be, or that all is.
func summary(st *status.ClusterStatus) string {
	toldAnyway := []string{"lim-on-standby", "lim-down", "standby-out-of-order", "split-brain"}
	var bad []string
	if st.Removed != "" {
		return st.Removed
	}
	lims := 0
	for _, c := range st.Clusters {
		lims += len(c.LIMs)
		switch {
		case c.Redundant != nil && !*c.Redundant:
			bad = append(bad, fmt.Sprintf("cluster %s is not redundant: %s", c.Name, c.RedundantWhy))
		case c.Redundant == nil && c.Health == "unknown" && st.Agent:
			bad = append(bad, fmt.Sprintf("it cannot be seen whether cluster %s is redundant: %s", c.Name, c.RedundantWhy))
		}
		if c.SplitBrain != nil && *c.SplitBrain {
			bad = append(bad, "split brain in cluster "+c.Name)
		}
		for i := range c.LIMs {
			if l := &c.LIMs[i]; l.Side != "regular" || l.State != stateRunning {
				bad = append(bad, fmt.Sprintf("LIM %d is %s%s: %s", l.LIM, l.State, whereItIs(l), l.Reason))
			}
		}
		for _, s := range c.Servers {
			if s.Reachable != nil && !*s.Reachable {
				bad = append(bad, s.Name+" is not reachable")
			}
		}
		for _, x := range c.Alarms {
			if x.Counts() && !slices.Contains(toldAnyway, x.Name) {
				bad = append(bad, x.Text)
			}
		}
	}
	switch {
	case len(bad) > 0:
		return strings.Join(bad, "; ")
	case lims == 0:
		return "there is no cluster"
	}
	return fmt.Sprintf("LIMs on their regular servers: %d of %d", lims, lims)
}

// whereItIs names the server that has a LIM, where that is known.
func whereItIs(l *status.StatusLIM) string {
	if l.ActiveOn == nil {
		return ""
	}
	return " on " + *l.ActiveOn
}
