// Package whatif asks the brain beforehand: what would move where, and why, if
// servers failed, came back, or lost sight of each other. It is pure: it plays
// the decisions of every server, as package failover makes them, until all is
// at rest.
package whatif

import (
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// Server is what is known of one server before anything happens.
type Server struct {
	Liveness failover.Liveness
	Claim    *failover.Claim // the last one heard; nil: none
}

// Present is what a simulation starts from.
type Present struct {
	Now       time.Time
	Document  *clusterconf.Document
	Servers   map[string]Server // by name; one that is missing was never heard
	Gateway   bool              // servers hear a gateway, too, so that none takes itself for cut off
	FirstHold time.Duration     // see failover.View
	FromLoad  bool
	Arbiter   bool           // there is one, and every server reaches it that does not say otherwise
	Keys      map[int]string // by LIM: whose key it is, by the arbiter's last word
	Assumed   bool           // nothing was seen: all is taken to be well
}

// AllWell is a system as the document lays it down, with every server up and
// every LIM at home.
func AllWell(d *clusterconf.Document, now time.Time) Present {
	p := Present{Now: now, Document: d, Servers: map[string]Server{}, Assumed: true}
	for _, s := range d.Servers {
		c := &failover.Claim{Server: s.Name, Run: s.Name, Revision: d.Revision, Epoch: d.Epoch, Settled: true}
		if s.LIM != 0 {
			c.LIMs = []failover.LIMClaim{{LIM: s.LIM, State: failover.Running, Term: 1, Since: now.Add(-time.Hour),
				Holds: d.ClusterOfLIM(s.LIM) != nil, Known: failover.Place{Term: 1, Server: s.Name}}}
		}
		p.Servers[s.Name] = Server{Liveness: failover.Alive, Claim: c}
	}
	return p
}

// Scenario is what happens. It travels as JSON to the agent.
type Scenario struct {
	Down []string `json:"down,omitempty"` // servers that lose their power
	Up   []string `json:"up,omitempty"`   // servers that are up again
	Cut  []Cut    `json:"cut,omitempty"`  // pairs of servers that do not hear each other

	Drain []string `json:"drain,omitempty"` // servers that are drained, and what is locked to them is not

	// Gateway has every server hear a gateway, so that none takes itself for cut off.
	Gateway bool `json:"gateway,omitempty"`
}

// Cut names two servers that do not hear each other.
type Cut struct {
	A string `json:"a"`
	B string `json:"b"`
}

// ParseCut reads a cut as A:B. Anything else is fault.Usage.
func ParseCut(text string) (Cut, error) {
	a, b, ok := strings.Cut(text, ":")
	if !ok || a == "" || b == "" || strings.Contains(b, ":") || a == b {
		return Cut{}, fault.New(fault.Usage, "name two servers, for example srv1:sb1", "%q is no cut between two servers", text)
	}
	return Cut{a, b}, nil
}

// Check refuses a scenario with servers that are not there (NotFound), or that
// are to be up and down at once (Usage).
func (s Scenario) Check(d *clusterconf.Document) error {
	named := slices.Concat(s.Down, s.Up, s.Drain)
	for _, c := range s.Cut {
		named = append(named, c.A, c.B)
	}
	var known []string
	for _, x := range d.Servers {
		known = append(known, x.Name)
	}
	for _, n := range named {
		if slices.Contains(known, n) {
			continue
		}
		hint := "mxcluster server list"
		if near := nearest.To(n, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fault.New(fault.NotFound, hint, "there is no server %q", n)
	}
	for _, n := range s.Up {
		if slices.Contains(s.Down, n) {
			return fault.New(fault.Usage, "leave one of them out", "server %s cannot be up and down at once", n)
		}
	}
	return nil
}

// Result is the answer of `simulate -o json`.
type Result struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`    // Simulation
	Assumed    bool      `json:"assumed"` // from the document alone, with all well; no agent was asked
	AtRest     bool      `json:"atRest"`  // false: it would go on and on
	LIMs       []Outcome `json:"lims"`
}

// Outcome is what becomes of one LIM.
type Outcome struct {
	LIM     int      `json:"lim"`
	Cluster string   `json:"cluster"` // "": none
	Before  []string `json:"before"`  // servers that serve it; several: on both sides of a cut
	After   []string `json:"after"`
	Moves   bool     `json:"moves"`
	Waiting bool     `json:"waiting"`
	Rule    string   `json:"rule"`
	Reason  string   `json:"reason"`

	Remedy *failover.Remedy `json:"remedy"` // what people could do then; nil: nothing is known

	NotReady string `json:"notReady,omitempty"` // it leaves a server that is drained, although this speaks against it; "": nothing does
}

// LIM returns the outcome for a LIM, or nil.
func (r *Result) LIM(n int) *Outcome {
	for i := range r.LIMs {
		if r.LIMs[i].LIM == n {
			return &r.LIMs[i]
		}
	}
	return nil
}
