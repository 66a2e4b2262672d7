package commands

import (
	"context"
	"fmt"
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

// summary says what is not as it should be, the gravest first and each with the alarm that
// has a page on it, or that all is well.
func summary(st *status.ClusterStatus) string {
	if st.Removed != "" {
		return st.Removed
	}
	var bad []string
	troubles := st.Troubles()
	for i := range troubles {
		bad = append(bad, fmt.Sprintf("%s [%s]", troubles[i].Sentence(), troubles[i].Name))
	}
	lims := 0
	for _, c := range st.Clusters {
		lims += len(c.LIMs)
		for i := range c.LIMs {
			if l := &c.LIMs[i]; l.ActiveOn != nil && (l.Side != "regular" || l.State != stateRunning) {
				bad = append(bad, fmt.Sprintf("LIM %d is %s on %s: %s", l.LIM, l.State, *l.ActiveOn, l.Reason))
			}
		}
		for _, s := range c.Servers {
			if s.Reachable != nil && !*s.Reachable {
				bad = append(bad, s.Name+" is not reachable")
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
