// Package explain says in sentences where a LIM runs and why, what would become of it, and
// whom an edit would displace. It looks nothing up: status and simulations are given to it.
package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// Explanation is the answer of `explain N -o json`.
type Explanation struct {
	APIVersion   string          `json:"apiVersion"`
	Kind         string          `json:"kind"` // Explanation
	LIM          int             `json:"lim"`
	Cluster      string          `json:"cluster"`  // "": none
	ActiveOn     *string         `json:"activeOn"` // nil: nowhere, or not known
	Side         string          `json:"side"`
	Since        *time.Time      `json:"since"`
	Reason       string          `json:"reason"`
	BlockedBy    []string        `json:"blockedBy"`    // what keeps it from falling back
	IfServerDied *whatif.Outcome `json:"ifServerDied"` // of the LIM, if the server that runs it died now; nil: it runs nowhere
	WinsOver     []int           `json:"winsOver"`     // LIMs that the standby would leave to it
	LosesTo      []int           `json:"losesTo"`      // LIMs that it would leave the standby to
	Sentences    []string        `json:"sentences"`
}

// Ask runs a simulation.
type Ask func(whatif.Scenario) (*whatif.Result, error)

// Explain says of a LIM of a cluster, in sentences, where it runs and why, and
// what would become of it.
func Explain(d *clusterconf.Document, st *status.ClusterStatus, lim int, ask Ask) (*Explanation, error) {
	c, l := d.ClusterOfLIM(lim), st.LIM(lim)
	e := &Explanation{APIVersion: clusterconf.APIVersion, Kind: "Explanation", LIM: lim, Side: "unknown",
		BlockedBy: []string{}, WinsOver: []int{}, LosesTo: []int{}, Sentences: []string{}}
	regular := d.RegularOf(lim)
	if c == nil || l == nil {
		e.say("LIM %d belongs to %s and is in no cluster: if %s fails, nobody takes it over.", lim, regular.Name, regular.Name)
		return e, nil
	}
	e.Cluster, e.ActiveOn, e.Side, e.Since, e.Reason = c.Name, l.ActiveOn, l.Side, l.Since, l.Reason
	e.BlockedBy = append(e.BlockedBy, l.Fallback.BlockedBy...)
	e.where(c, l, regular.Name, st.GeneratedAt)
	e.goingBack(l, regular.Name)
	if l.Remedy != nil {
		e.say("To type%s: `%s`.", whereWords(l.Remedy), l.Remedy.Command)
	}
	if err := e.ifServerDied(l, regular.Name, ask); err != nil {
		return nil, err
	}
	if err := e.rivals(d, c, ask); err != nil {
		return nil, err
	}
	e.alarms(st, c.Standby)
	e.limits(st, c.Standby)
	if l.Next != "" && !strings.HasPrefix(l.Next, "if ") && !byOrder(l) { // what happens if a server fails was said
		e.say("As it stands, it %s.", l.Next)
	}
	return e, nil
}

// byOrder reports whether nothing but the order is missing to a LIM's return.
func byOrder(l *status.StatusLIM) bool {
	return l.Side == "standby" && len(l.Fallback.BlockedBy) == 0 && l.Fallback.HeldForMs == 0 &&
		l.Fallback.Type == string(clusterconf.FallbackManual)
}

func (e *Explanation) say(format string, args ...any) {
	e.Sentences = append(e.Sentences, fmt.Sprintf(format, args...))
}

// where says where the LIM runs, since when, and why.
func (e *Explanation) where(c *clusterconf.Cluster, l *status.StatusLIM, regular string, now time.Time) {
	since := ""
	if l.Since != nil {
		since = fmt.Sprintf(", since %s (%s)", l.Since.UTC().Format(time.RFC3339), now.Sub(*l.Since).Round(time.Second))
	}
	switch l.Side {
	case "regular":
		e.say("LIM %d of cluster %s is %s on its regular server %s%s.", l.LIM, c.Name, l.State, regular, since)
	case "standby":
		e.say("LIM %d of cluster %s is %s on the standby server %s%s; its regular server is %s.", l.LIM, c.Name, l.State, c.Standby, since, regular)
	case "none":
		e.say("LIM %d of cluster %s runs nowhere: it is %s.", l.LIM, c.Name, l.State)
	default:
		e.say("It is not known where LIM %d of cluster %s runs; its regular server is %s, the standby %s.", l.LIM, c.Name, regular, c.Standby)
	}
	if l.Reason != "" {
		e.say("Why: %s.", l.Reason)
	}
	if l.Lock != nil && !strings.Contains(l.Reason, l.Lock.String()) {
		e.say("It is %s.", l.Lock)
	}
}

// whereWords says where, and when, a remedy is typed.
func whereWords(r *status.Remedy) string {
	words := ""
	if r.On != "" {
		words = " on " + r.On
	}
	if r.What != "" {
		words += ", " + r.What
	}
	return words
}

// alarms says what was raised about the LIM, and why its standby is not understood. The
// reason that many end in was said.
func (e *Explanation) alarms(st *status.ClusterStatus, standby string) {
	for _, c := range st.Clusters {
		for _, a := range c.Alarms {
			if a.LIM == e.LIM || a.Server == standby && a.Name == string(alarms.NotUnderstood) {
				e.say("Alarm %d, %s, since %s: %s.", a.Handle, a.Severity, a.RaisedAt.UTC().Format(time.RFC3339), strings.TrimSuffix(a.Text, ": "+e.Reason))
			}
		}
	}
}

// limits says to what the standby is limited, though it could do its part.
func (e *Explanation) limits(st *status.ClusterStatus, standby string) {
	for _, c := range st.Clusters {
		for _, s := range c.Servers {
			if s.Name == standby && c.Name == e.Cluster && s.Ready != nil && *s.Ready && s.ReadyWhy != "" {
				e.say("The cluster is %s.", s.ReadyWhy)
			}
		}
	}
}

// goingBack says what keeps the LIM on the standby, beside the reason for which it
// is there: that was said.
func (e *Explanation) goingBack(l *status.StatusLIM, regular string) {
	if l.Side != "standby" {
		return
	}
	others := slices.DeleteFunc(slices.Clone(l.Fallback.BlockedBy), func(why string) bool { return why == l.Reason })
	switch {
	case len(others) > 0 && len(others) < len(l.Fallback.BlockedBy):
		e.say("That keeps it from falling back to %s, and so does: %s.", regular, strings.Join(others, "; "))
	case len(others) > 0:
		e.say("What keeps it from falling back to %s: %s.", regular, strings.Join(others, "; "))
	case len(l.Fallback.BlockedBy) > 0:
		e.say("That keeps it from falling back to %s.", regular)
	case l.Fallback.HeldForMs > 0:
		e.say("%s is ready; automatic fallback is held back for %s more, because %s failed again soon before.",
			regular, (time.Duration(l.Fallback.HeldForMs) * time.Millisecond).Round(time.Second), regular)
	case byOrder(l) && strings.Contains(l.Reason, "fallback is manual"):
		e.say("`mxcluster fallback %d` moves it.", l.LIM)
	case byOrder(l):
		e.say("%s is ready; fallback is manual: `mxcluster fallback %d` moves it.", regular, l.LIM)
	}
}

// ifServerDied says what would become of the LIM without its server.
func (e *Explanation) ifServerDied(l *status.StatusLIM, regular string, ask Ask) error {
	server := regular
	if l.ActiveOn != nil {
		server = *l.ActiveOn
	} else if l.Side != "unknown" {
		return nil
	}
	r, err := ask(whatif.Scenario{Down: []string{server}})
	if err != nil {
		return err
	}
	o := r.LIM(e.LIM)
	e.IfServerDied = o
	if r.Assumed {
		e.say("No agent was asked; what follows takes all to be well and every LIM to be at home.")
	}
	switch {
	case len(o.After) > 0 && l.Redundant != nil && !*l.Redundant:
		e.say("If %s died now, LIM %d would be for %s to take over, which is not to be relied on: %s.", server, e.LIM, strings.Join(o.After, " and "), l.RedundantWhy)
	case len(o.After) > 0:
		e.say("If %s died now, LIM %d would move to %s: %s.", server, e.LIM, strings.Join(o.After, " and "), o.Reason)
	case o.Waiting:
		e.say("If %s died now, LIM %d would wait: %s.", server, e.LIM, o.Reason)
	default:
		e.say("If %s died now, LIM %d would be down: %s.", server, e.LIM, o.Reason)
	}
	if o.Remedy != nil {
		e.say("Then `%s` on the standby would start it there.", o.Remedy.Command)
	}
	for _, other := range r.LIMs {
		if other.LIM != e.LIM && other.Moves && !slices.Contains(other.Before, server) {
			e.say("LIM %d would then move from %s to %s: %s.", other.LIM, nowhere(other.Before), nowhere(other.After), other.Reason)
		}
	}
	return nil
}

func nowhere(servers []string) string {
	if len(servers) == 0 {
		return "nowhere"
	}
	return strings.Join(servers, " and ")
}

// rivals says who would have the standby if another regular server failed, too.
func (e *Explanation) rivals(d *clusterconf.Document, c *clusterconf.Cluster, ask Ask) error {
	own := d.RegularOf(e.LIM).Name
	for _, m := range c.LIMs {
		if m.LIM == e.LIM {
			continue
		}
		r, err := ask(whatif.Scenario{Down: []string{own, d.RegularOf(m.LIM).Name}, Gateway: true})
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(r.LIM(e.LIM).After, c.Standby):
			e.WinsOver = append(e.WinsOver, m.LIM)
		case slices.Contains(r.LIM(m.LIM).After, c.Standby) && r.LIM(e.LIM).Waiting: // it is not something else that keeps it away
			e.LosesTo = append(e.LosesTo, m.LIM)
		}
	}
	if len(e.WinsOver) > 0 {
		e.say("If %s and another regular server were down together, %s would run LIM %d rather than LIM %s.", own, c.Standby, e.LIM, numbers(e.WinsOver))
	}
	if len(e.LosesTo) > 0 {
		e.say("It would leave %s to LIM %s, which %s before it.", c.Standby, numbers(e.LosesTo), map[bool]string{true: "goes", false: "go"}[len(e.LosesTo) == 1])
	}
	return nil
}

func numbers(lims []int) string {
	words := make([]string, len(lims))
	for i, n := range lims {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}
