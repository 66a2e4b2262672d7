package whatif

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

var now = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func system(change func(*clusterconf.Cluster)) *clusterconf.Document {
	return clusterconftest.Trio(change)
}

// words says what moves, as "1 srv1>sb1".
func words(r *Result) string {
	var out []string
	for _, o := range r.LIMs {
		if o.Moves {
			text := fmt.Sprintf("%d %s>%s", o.LIM, strings.Join(o.Before, "+"), strings.Join(o.After, "+"))
			if o.Waiting {
				text += " waits"
			}
			out = append(out, text)
		}
	}
	if !r.AtRest {
		out = append(out, "never at rest")
	}
	return strings.Join(out, ", ")
}

func automatic(c *clusterconf.Cluster) { c.Fallback = clusterconf.FallbackAutomatic }

func lock(lim int, to clusterconf.Side) func(*clusterconf.Cluster) {
	return func(c *clusterconf.Cluster) { c.Member(lim).Lock = &clusterconf.Lock{To: to, Since: now, By: "test"} }
}

func TestSimulateFromTheDocument(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*clusterconf.Cluster)
		s      Scenario
		want   string
		why    string // in the reason of the first LIM that moves, or of LIM 1
	}{
		{"nothing happens", nil, Scenario{}, "", "runs on its regular server"},
		{"one fails", nil, Scenario{Down: []string{"srv1"}}, "1 srv1>sb1", "srv1 is down"},
		{"two fail, the higher priority wins", nil, Scenario{Down: []string{"srv2", "srv1"}}, "1 srv1>sb1, 2 srv2> waits", "srv1 is down"},
		{"two of one priority fail", nil, Scenario{Down: []string{"srv3", "srv2"}}, "2 srv2>sb1, 3 srv3> waits", "srv2 is down"},
		{"the standby fails", nil, Scenario{Down: []string{"sb1"}}, "", "runs on its regular server"},
		{"both fail", nil, Scenario{Down: []string{"sb1", "srv1"}}, "1 srv1>", "srv1 and the standby sb1 are both down"},
		{"one that no cluster protects", nil, Scenario{Down: []string{"srv4"}}, "4 srv4>", "in no cluster"},
		{"locked to the regular side", lock(1, clusterconf.SideRegular), Scenario{Down: []string{"srv1"}}, "1 srv1>", "locked to the regular side"},
		{"everybody but the standby", nil, Scenario{Down: []string{"srv1", "srv2", "srv3", "srv4"}}, "1 srv1>sb1, 2 srv2> waits, 3 srv3> waits, 4 srv4>", "srv1 is down"},
		{"cut between regular and standby", nil, Scenario{Cut: []Cut{{"srv1", "sb1"}}}, "1 srv1>sb1+srv1", "srv1 is down"},
		{"the standby is cut off from all", nil, Scenario{Cut: []Cut{{"srv1", "sb1"}, {"sb1", "srv2"}, {"sb1", "srv3"}, {"sb1", "srv4"}}}, "", "runs on its regular server"},
	} {
		r := Simulate(AllWell(system(tt.change), now), tt.s)
		why := r.LIM(1).Reason
		for i := len(r.LIMs) - 1; i >= 0; i-- {
			if r.LIMs[i].Moves {
				why = r.LIMs[i].Reason
			}
		}
		if got := words(r); got != tt.want || !strings.Contains(why, tt.why) || !r.Assumed {
			t.Errorf("%s: %q (%s), want %q (%s)", tt.name, got, why, tt.want, tt.why)
		}
	}
}

// A standby that hears only the regular servers takes nothing over when the last of them
// falls silent; it says what people can do then. One that hears others, too, goes on.
func TestSimulateWithoutWitnesses(t *testing.T) {
	seen := func(witnessed bool, d *clusterconf.Document) Present {
		p := AllWell(d, now)
		p.Assumed = false
		for _, s := range p.Servers {
			s.Claim.Witnessed = witnessed
		}
		return p
	}
	two := system(func(c *clusterconf.Cluster) { c.LIMs = c.LIMs[:2] })
	two.Servers = two.Servers[:3]
	one := system(func(c *clusterconf.Cluster) { c.LIMs = c.LIMs[:1] })
	one.Servers = one.Servers[:2]
	for _, tt := range []struct {
		name   string
		p      Present
		down   []string
		want   string
		remedy bool
	}{
		{"one of two fails", seen(false, two), []string{"srv1"}, "1 srv1>sb1", false},
		{"both fail", seen(false, two), []string{"srv1", "srv2"}, "1 srv1>, 2 srv2>", true},
		{"both fail beside a gateway", seen(true, two), []string{"srv1", "srv2"}, "1 srv1>sb1, 2 srv2> waits", false},
		{"the only one fails", seen(false, one), []string{"srv1"}, "1 srv1>sb1", false},
		{"all but a server of no cluster fail", seen(false, system(nil)), []string{"srv1", "srv2", "srv3"}, "1 srv1>sb1, 2 srv2> waits, 3 srv3> waits", false},
	} {
		r := Simulate(tt.p, Scenario{Down: tt.down})
		if got := words(r); got != tt.want || (r.LIM(1).Remedy != nil) != tt.remedy {
			t.Errorf("%s: %q (%s; %+v), want %q", tt.name, got, r.LIM(1).Reason, r.LIM(1).Remedy, tt.want)
		}
	}
}

// after is the system as a scenario leaves it.
func after(p Present, s Scenario) Present {
	w := newPlay(p, s)
	for range 2 * calm {
		w.step()
		w.now = w.now.Add(round)
	}
	p.Servers = map[string]Server{}
	for name, n := range w.nodes {
		p.Servers[name] = Server{Liveness: n.liveness, Claim: n.claim}
	}
	return p
}

func TestSimulateTheWayBack(t *testing.T) {
	down := Scenario{Down: []string{"srv1", "srv2"}}
	up := Scenario{Up: []string{"srv1"}}
	manual := after(AllWell(system(nil), now), down)
	if got := words(Simulate(manual, Scenario{})); got != "" {
		t.Errorf("as it is: %s", got)
	}
	if r := Simulate(manual, up); words(r) != "" || !strings.Contains(r.LIM(1).Reason, "fallback is manual") {
		t.Errorf("back, by hand: %s (%s)", words(r), r.LIM(1).Reason)
	}
	auto := after(AllWell(system(automatic), now), down)
	if got := words(Simulate(auto, up)); got != "1 sb1>srv1, 2 >sb1" {
		t.Errorf("back by itself, and the other one takes the place: %s", got)
	}
	if got := words(Simulate(auto, Scenario{Up: []string{"srv1", "srv2"}})); got != "1 sb1>srv1, 2 >srv2" {
		t.Errorf("all back by themselves: %s", got)
	}
	// LIM 2 on the standby is replaced by one of a higher priority, and goes home where it can.
	one := after(AllWell(system(nil), now), Scenario{Down: []string{"srv2"}})
	if got := words(Simulate(one, Scenario{Down: []string{"srv1"}})); got != "1 srv1>sb1, 2 sb1> waits" {
		t.Errorf("replaced: %s", got)
	}
	if got := words(Simulate(one, Scenario{Down: []string{"srv1"}, Up: []string{"srv2"}})); got != "1 srv1>sb1, 2 sb1>srv2" {
		t.Errorf("replaced, and home: %s", got)
	}
	if got := words(Simulate(one, Scenario{Down: []string{"srv3"}})); got != "3 srv3> waits" {
		t.Errorf("of one priority: %s", got)
	}
	if got := words(Simulate(one, Scenario{Down: []string{"sb1"}})); got != "2 sb1>" {
		t.Errorf("the standby dies: %s", got)
	}
}

// What a server lacks keeps it from taking its LIM back in the simulation, too.
func TestSimulateKnowsWhatIsMissing(t *testing.T) {
	p := after(AllWell(system(automatic), now), Scenario{Down: []string{"srv1"}})
	p.Servers["sb1"].Claim.LIMs[0].Data = &failover.Data{Version: "xdata_1_20260301010000", Newest: now.Add(-time.Hour)}
	r := Simulate(p, Scenario{Up: []string{"srv1"}})
	if words(r) != "" || !strings.Contains(r.LIM(1).Reason, "lacks data version") {
		t.Errorf("%s (%s)", words(r), r.LIM(1).Reason)
	}
	p.Servers["srv1"] = Server{} // never heard
	if got := words(Simulate(p, Scenario{Up: []string{"srv1"}})); got != "1 sb1>srv1" {
		t.Errorf("one that was never heard comes: %s", got)
	}
	if got := words(Simulate(Present{Now: now, Document: system(nil)}, Scenario{Down: []string{"srv1"}})); got != "" {
		t.Errorf("where nobody was heard: %s", got)
	}
}

// The present is not changed by what is only thought of.
func TestSimulateChangesNothing(t *testing.T) {
	p := AllWell(system(nil), now)
	raw := func() string {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	was := raw()
	Simulate(p, Scenario{Down: []string{"srv1"}, Cut: []Cut{{"sb1", "srv2"}}})
	if raw() != was {
		t.Error("the present was changed")
	}
}

func TestScenarioCheck(t *testing.T) {
	for _, tt := range []struct {
		s    Scenario
		code fault.Code
	}{
		{Scenario{Down: []string{"srv1"}, Up: []string{"srv2"}, Cut: []Cut{{"srv3", "sb1"}}}, fault.OK},
		{Scenario{Down: []string{"srv9"}}, fault.NotFound},
		{Scenario{Up: []string{"x"}}, fault.NotFound},
		{Scenario{Cut: []Cut{{"srv1", "x"}}}, fault.NotFound},
		{Scenario{Down: []string{"srv1"}, Up: []string{"srv1"}}, fault.Usage},
	} {
		if err := tt.s.Check(system(nil)); fault.CodeOf(err) != tt.code {
			t.Errorf("%+v: %v (code %d), want %d", tt.s, err, fault.CodeOf(err), tt.code)
		}
	}
	for _, text := range []string{"", "srv1", ":", "srv1:", ":srv1", "a:b:c", "a:a"} {
		if _, err := ParseCut(text); fault.CodeOf(err) != fault.Usage {
			t.Errorf("cut %q: %v", text, err)
		}
	}
	if c, err := ParseCut("srv1:sb1"); err != nil || c != (Cut{"srv1", "sb1"}) {
		t.Errorf("cut srv1:sb1: %+v, %v", c, err)
	}
}

// The largest system is simulated while somebody waits.
func BenchmarkSimulateLargest(b *testing.B) {
	d := clusterconftest.System(22, 10)
	for b.Loop() {
		if got := words(Simulate(AllWell(d, now), Scenario{Down: []string{"srv1", "srv11"}})); got != "1 srv1>sb1, 11 srv11>sb2" {
			b.Fatal(got)
		}
	}
}

// A preloaded cluster moves there and back; the passive side counts as nobody.
func TestSimulatePreloaded(t *testing.T) {
	preloaded := func(c *clusterconf.Cluster) {
		c.Failover, c.Fallback, c.LIMs = clusterconf.FailoverPreloaded, clusterconf.FallbackAutomatic, c.LIMs[:1]
	}
	well := AllWell(system(preloaded), now)
	if got := words(Simulate(well, Scenario{})); got != "" {
		t.Errorf("as it is: %s", got)
	}
	down := Scenario{Down: []string{"srv1"}}
	if got := words(Simulate(well, down)); got != "1 srv1>sb1" {
		t.Errorf("srv1 down: %s", got)
	}
	if got := words(Simulate(after(well, down), Scenario{Up: []string{"srv1"}})); got != "1 sb1>srv1" {
		t.Errorf("srv1 back: %s", got)
	}
}
