package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// Verdict is what a check says.
type Verdict string

// The verdicts. What could not be seen is unknown, never ok.
const (
	OK      Verdict = "ok"
	Unknown Verdict = "unknown"
	Warning Verdict = "warning"
	Failed  Verdict = "failed"
)

// weight orders verdicts by how grave they are.
func (v Verdict) weight() int { return slices.Index([]Verdict{OK, Unknown, Warning, Failed}, v) }

// Finding is one check of one server.
type Finding struct {
	Name     string  `json:"name"`
	Server   string  `json:"server"` // "": it is about the system
	Verdict  Verdict `json:"verdict"`
	Measured string  `json:"measured"`
	Needed   string  `json:"needed"`
	Remedy   string  `json:"remedy"` // what to do or type; "" where nothing is needed
}

// Report is all that was checked, the gravest first.
type Report struct {
	APIVersion  string    `json:"apiVersion"`
	Kind        string    `json:"kind"` // CheckReport
	GeneratedAt time.Time `json:"generatedAt"`
	Observer    string    `json:"observer"` // the server that asked the others
	Result      Verdict   `json:"result"`   // the gravest
	Findings    []Finding `json:"findings"`
}

// Count returns how many findings have a verdict.
func (r *Report) Count(v Verdict) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Verdict == v {
			n++
		}
	}
	return n
}

// Asked is what was asked of one server.
type Asked struct {
	Facts  *Facts
	Why    string        // without facts: why it has none
	Offset time.Duration // of its clock, to the observer's
}

// Input is what a report is made of.
type Input struct {
	Document *clusterconf.Document
	Observer string
	Now      time.Time
	Servers  []string // to be judged
	Asked    map[string]Asked
	Port     int // of gossip

	Bandwidth map[string]Bandwidth // from the observer to others; nil: it was not asked for
}

// Bandwidth is how fast bytes got to a server and back, in bytes a second, if Try is empty.
type Bandwidth struct {
	Try
	To, From int64
}

// Judge makes the report.
func Judge(in Input) *Report {
	j := &judge{Input: in}
	for _, name := range in.Servers {
		s := in.Document.Server(name)
		if s == nil {
			continue
		}
		if f := in.Asked[name].Facts; f != nil {
			j.server(s, f)
		} else {
			j.unasked(s)
		}
	}
	j.system()
	j.bandwidth()
	slices.SortStableFunc(j.findings, func(x, y Finding) int { return cmp.Compare(y.Verdict.weight(), x.Verdict.weight()) })
	r := &Report{APIVersion: clusterconf.APIVersion, Kind: "CheckReport", GeneratedAt: in.Now.UTC(), Observer: in.Observer, Result: OK, Findings: j.findings}
	if len(j.findings) > 0 {
		r.Result = j.findings[0].Verdict
	}
	return r
}

// judge collects findings.
type judge struct {
	Input
	findings []Finding
}

// add adds a finding; a remedy is for what is not ok.
func (j *judge) add(name, server string, v Verdict, needed, remedy, format string, args ...any) {
	if v == OK {
		remedy = ""
	}
	j.findings = append(j.findings, Finding{Name: name, Server: server, Verdict: v, Needed: needed, Remedy: remedy, Measured: fmt.Sprintf(format, args...)})
}

// tried adds what came of a try; well is what is said if it works.
func (j *judge) tried(name, server string, t Try, bad Verdict, needed, remedy, well string) {
	switch {
	case t.Problem != "":
		j.add(name, server, bad, needed, remedy, "%s", t.Problem)
	case t.Unseen != "":
		j.add(name, server, Unknown, needed, remedy, "%s", t.Unseen)
	default:
		j.add(name, server, OK, needed, "", "%s", well)
	}
}
