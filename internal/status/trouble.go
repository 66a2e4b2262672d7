package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

// Trouble is something that is not as it should be, in words, and what to do about it.
type Trouble struct {
	Name     string           // of the alarm whose page tells of it
	Severity string           // critical, warning or unknown
	Beside   bool             // it is no matter of what the next failure would do
	LIMs     []int            // that it is about; none: no LIM alone
	Text     string           // why
	Remedy   *failover.Remedy // nil: nothing is known, or time helps
}

// String says it on one line, without what to do.
func (t *Trouble) String() string {
	if len(t.LIMs) == 0 {
		return t.Text
	}
	words := make([]string, len(t.LIMs))
	for i, n := range t.LIMs {
		words[i] = fmt.Sprint(n)
	}
	lims := "LIM " + strings.Join(words, ", ")
	if down, ok := strings.CutPrefix(t.Text, isDown); ok {
		return lims + map[bool]string{true: " are down", false: " is down"}[len(words) > 1] + down
	}
	return lims + ": " + t.Text
}

// isDown is how the text of a LIM begins that runs nowhere.
const isDown = "is down"

// Sentence says it so that it can stand alone.
func (t *Trouble) Sentence() string {
	switch {
	case t.Beside || t.Severity == healthCritical:
		return t.String()
	case t.Severity == healthUnknown:
		return "it cannot be seen whether all is redundant: " + t.String()
	}
	return "not redundant: " + t.String()
}

// because adds a reason, where there is one.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// Troubles lists what is not as it should be, the gravest first. What is the same of several
// LIMs is told once.
func (s *ClusterStatus) Troubles() []Trouble {
	var out []Trouble
	add := func(t Trouble) {
		same := func(x Trouble) bool {
			return x.Severity == t.Severity && x.Beside == t.Beside && x.Text == t.Text && x.Name == t.Name && sameRemedy(x.Remedy, t.Remedy) && len(x.LIMs) > 0
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].LIMs = append(out[i].LIMs, t.LIMs...)
			return
		}
		out = append(out, t)
	}
	for i := range s.Unclustered {
		switch l := &s.Unclustered[i]; l.Side {
		case "none":
			add(Trouble{Name: string(alarms.LIMDown), Severity: healthCritical, LIMs: []int{l.LIM}, Text: because(isDown, l.Reason), Remedy: l.Remedy})
		case unknown:
			add(Trouble{Name: string(alarms.LIMDown), Severity: healthUnknown, Beside: true, LIMs: []int{l.LIM}, Text: because("it cannot be seen whether it runs", l.Reason), Remedy: l.Remedy})
		}
	}
	for i := range s.Clusters {
		for k := range s.Clusters[i].LIMs {
			if t := s.Clusters[i].LIMs[k].trouble(s.Clusters[i].SplitBrain); t != nil {
				add(*t)
			}
		}
	}
	for _, a := range s.CountedAlarms() {
		if !a.toldBy(out) && !slices.ContainsFunc(out, func(t Trouble) bool { return strings.Contains(a.Text, t.Text) }) {
			add(Trouble{Name: a.Name, Severity: a.Severity, Beside: true, Text: withoutCommand(a.Text), Remedy: a.remedy(s)})
		}
	}
	slices.SortStableFunc(out, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(fewer(a), fewer(b)))
	})
	return out
}

// rank puts what is gravest first: that something cannot be seen hides less than what is
// critical, and may hide more than a warning.
func rank(severity string) int {
	return slices.Index([]string{healthCritical, healthUnknown, healthWarning}, severity)
}

// fewer puts what the next failure would do before all else.
func fewer(t Trouble) int {
	if t.Beside {
		return 1
	}
	return 0
}

func sameRemedy(a, b *failover.Remedy) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// trouble says what is not as it should be with a LIM; nil: nothing, or what is no matter of
// one LIM.
func (l *StatusLIM) trouble(split *bool) *Trouble {
	t := Trouble{Name: string(alarms.NotRedundant), LIMs: []int{l.LIM}, Remedy: l.Remedy}
	switch holding := l.Alias.holding(); {
	case split != nil && *split && len(holding) > 1:
		t.Name, t.Severity, t.Text = string(alarms.SplitBrain), healthCritical, fmt.Sprintf("split brain: it runs on %s", strings.Join(holding, " and on "))
	case l.Side == "none":
		t.Name, t.Severity, t.Text = string(alarms.LIMDown), healthCritical, because(isDown, l.Reason)
	case l.Redundant == nil:
		t.Severity, t.Text = healthUnknown, l.RedundantWhy
		if l.Side == unknown && !strings.HasPrefix(l.Reason, l.RedundantWhy) && l.Reason != "" {
			t.Text = l.Reason
		}
	case !*l.Redundant:
		t.Severity, t.Text = healthWarning, l.RedundantWhy
	default:
		return nil
	}
	if l.Remedy != nil { // it stands below
		t.Text = withoutCommand(strings.Replace(t.Text, fmt.Sprintf(": `%s` makes room", l.Remedy.Command), "", 1))
	}
	return &t
}

// withoutCommand leaves out at the end of a text what is to be typed: that is told by itself.
func withoutCommand(text string) string {
	i := strings.LastIndex(text, "; ")
	if i > 0 && strings.Contains(text[i:], "mxcluster ") {
		return text[:i]
	}
	return text
}

// CountedAlarms lists the alarms that count, the gravest first. One that is about the whole
// system is in every cluster, and listed once.
func (s *ClusterStatus) CountedAlarms() []Alarm {
	var out []Alarm
	take := func(all []Alarm, of func(lim int) bool) {
		for _, a := range all {
			if a.Counts() && (a.LIM == 0 || of(a.LIM)) && !slices.ContainsFunc(out, a.Same) {
				out = append(out, a)
			}
		}
	}
	for i := range s.Clusters {
		take(s.Clusters[i].Alarms, s.Clusters[i].hasLIM)
	}
	take(s.Alarms, s.alone)
	slices.SortStableFunc(out, func(x, y Alarm) int {
		return cmp.Or(strings.Compare(x.Severity, y.Severity), x.RaisedAt.Compare(y.RaisedAt)) // "critical" is before "warning"
	})
	return out
}

// toldBy reports whether what LIMs and servers say of themselves tells of an alarm, too.
func (a *Alarm) toldBy(all []Trouble) bool {
	of := func(t Trouble) bool { return len(t.LIMs) > 0 && (a.LIM == 0 || slices.Contains(t.LIMs, a.LIM)) }
	switch alarms.Name(a.Name) {
	case alarms.LIMOnStandby: // the table has it
		return true
	case alarms.StandbyOutOfOrder, alarms.AgentStopped:
		return slices.ContainsFunc(all, of)
	case alarms.LIMDown, alarms.SplitBrain, alarms.NotRedundant:
		return slices.ContainsFunc(all, func(t Trouble) bool { return of(t) && rank(t.Severity) <= rank(a.Severity) })
	case alarms.AliasInUse:
		return slices.ContainsFunc(all, func(t Trouble) bool { return of(t) && strings.Contains(t.Text, " used by ") })
	}
	return false
}

// OfOlderVersion reports whether a server cannot read what the others can: nothing but another
// version of the program on it ends that.
func (a *Alarm) OfOlderVersion() bool {
	return a.Name == string(alarms.DocumentUnreadable) && strings.Contains(a.Text, alarms.OthersDocument)
}

// keep is what to type about data that went different ways: the side where the LIM runs is the one
// that is in use.
func (s *ClusterStatus) keep(lim int) *failover.Remedy {
	if l := s.LIM(lim); l != nil {
		switch side := clusterconf.Side(l.Side); side {
		case clusterconf.SideRegular, clusterconf.SideStandby:
			return &failover.Remedy{What: "keep those that it runs on", Command: fmt.Sprintf("mxcluster sync --lim %d --keep %s", lim, side)}
		}
	}
	return &failover.Remedy{What: "look at both sides', then keep one by sync --keep", Command: fmt.Sprintf("mxcluster xdata list --lim %d", lim)}
}

// remedy is what to type about an alarm of a status.
func (a *Alarm) remedy(s *ClusterStatus) *failover.Remedy {
	switch alarms.Name(a.Name) {
	case alarms.DataConflict:
		return s.keep(a.LIM)
	case alarms.DataDamaged:
		if alarms.Severity(a.Severity) == alarms.Warning { // a good one is there; the damaged one stays until it is removed
			break
		}
		return syncs(a.LIM)
	case alarms.DataBehind, alarms.SyncFailed:
		return syncs(a.LIM)
	case alarms.DocumentUnreadable:
		if a.OfOlderVersion() {
			return &failover.Remedy{What: "upgrade mxcluster on " + a.Server, Command: "mxcluster upgrade check"}
		}
		return &failover.Remedy{On: a.Server, Command: "mxcluster config validate"}
	case alarms.VersionBehind:
		return &failover.Remedy{Command: "mxcluster upgrade check"}
	case alarms.LockLeft:
		return &failover.Remedy{Command: fmt.Sprintf("mxcluster unlock %d", a.LIM)}
	case alarms.DrainLeft:
		return &failover.Remedy{Command: "mxcluster server undrain " + a.Server}
	}
	return &failover.Remedy{Command: "mxcluster alarms explain " + a.Name}
}

func syncs(lim int) *failover.Remedy {
	return &failover.Remedy{Command: fmt.Sprintf("mxcluster sync --lim %d", lim)}
}
