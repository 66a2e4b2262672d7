package status

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
	"mxcluster/internal/lineage"
)

// Two data versions of LIM 1, and one of the newer's time with other content.
func older() *failover.Data { return version("xdata_1_20260301000000", -2*time.Hour) }
func newer() *failover.Data { return version("xdata_1_20260301010000", -time.Hour) }
func rival() *failover.Data { return version("xdata_1_20260301010001", -time.Hour) }

func version(name string, age time.Duration) *failover.Data {
	return &failover.Data{Version: name, Newest: testTime().Add(age)}
}

// saying is an alive server that claims these LIMs, and that all would be covered where
// nothing else is said.
func saying(lims ...failover.LIMClaim) Seen {
	for i := range lims {
		if lims[i].Promise == nil {
			lims[i].Promise = promise(true, "")
		}
	}
	return Seen{Liveness: failover.Alive, Heard: testTime().Add(-40 * time.Millisecond), Claim: &failover.Claim{Revision: 6, LIMs: lims, Levels: levels.Known()}}
}

func promise(covered bool, why string) *failover.Promise {
	return &failover.Promise{Covered: &covered, Why: why, Detect: 10 * time.Second}
}

// now is what was last said by a server that is in another state of life now.
func (s Seen) now(l failover.Liveness) Seen {
	s.Liveness, s.Heard = l, testTime().Add(-41250*time.Millisecond)
	return s
}

// parked is a server whose agent was stopped on purpose.
func (s Seen) parked() Seen {
	claim := *s.Claim
	claim.Parked = true
	return Seen{Liveness: failover.AgentLost, Heard: s.Heard, Claim: &claim}
}

// running is the claim of a server that runs LIM 1.
func running(term uint64, reason string) failover.LIMClaim {
	return failover.LIMClaim{LIM: 1, State: failover.Running, Term: term, Holds: true, Reason: reason, Known: failover.Place{Term: term},
		Since: testTime().Add(-time.Minute), Announced: testTime().Add(-time.Second)}
}

// stopped is the claim of one that does not.
func stopped(reason string) failover.LIMClaim {
	return failover.LIMClaim{LIM: 1, State: failover.Stopped, Reason: reason}
}

// withData adds the newest data version to a claim.
func withData(c failover.LIMClaim, d *failover.Data) failover.LIMClaim {
	c.Data = d
	return c
}

// built is the status of cluster c1 with LIM 1 on srv1 and standby sb1, which looks.
func built(t *testing.T, srv1, sb1 Seen) (*ClusterStatus, *StatusCluster, *StatusLIM) {
	t.Helper()
	doc := parsed(t)
	doc.Clusters = doc.Clusters[:1]
	doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
	doc.Servers = slices.DeleteFunc(doc.Servers, func(s clusterconf.Server) bool { return s.Name != "srv1" && s.Name != "sb1" })
	st := Build(Input{Now: testTime(), Observer: "sb1", Document: doc, Servers: map[string]Seen{"srv1": srv1, "sb1": sb1}})
	return st, &st.Clusters[0], st.LIM(1)
}

// summary says in one line where a LIM is and how it is.
func summary(st *ClusterStatus, c *StatusCluster, l *StatusLIM) string {
	on := "null"
	if l.ActiveOn != nil {
		on = *l.ActiveOn
	}
	words := []string{on, l.Side, l.State, "split " + word(c.SplitBrain), st.Health}
	if l.Waiting {
		words = append(words, "waits")
	}
	return strings.Join(words, ", ")
}

func word(b *bool) string {
	switch {
	case b == nil:
		return "null"
	case *b:
		return "true"
	}
	return "false"
}

func TestWhereALIMIs(t *testing.T) {
	idle := saying(stopped("srv1 is alive"))
	starting := running(2, "srv1 is down")
	starting.State, starting.Holds = failover.Starting, false
	waiting := stopped("srv1 is down; waits, the standby runs LIM 2")
	waiting.Waiting = true
	failed := failover.LIMClaim{LIM: 1, State: failover.Failed, Reason: "start failed"}
	tests := []struct {
		name      string
		srv1, sb1 Seen
		want      string
		reason    string
	}{
		{"healthy", saying(running(1, "at home")), idle,
			"srv1, regular, running, split false, ok", "at home"},
		{"starting at home", saying(func() failover.LIMClaim { c := starting; c.Term = 1; return c }()), idle,
			"srv1, regular, starting, split false, warning", "srv1 is down"},
		{"regular gone, on the standby", saying(running(1, "at home")).now(failover.Gone), saying(running(2, "srv1 is down")),
			"sb1, standby, running, split false, warning", "srv1 is down"},
		{"regular gone, starting on the standby", saying(running(1, "at home")).now(failover.Gone), saying(starting),
			"sb1, standby, starting, split false, warning", "srv1 is down"},
		{"regular back, on the standby", saying(stopped("runs on sb1")), saying(running(2, "fallback is manual")),
			"sb1, standby, running, split false, warning", "fallback is manual"},
		{"regular gone, standby taken", saying(running(1, "at home")).now(failover.Gone), saying(waiting),
			"null, none, waiting, split false, critical, waits", waiting.Reason},
		{"regular gone, isolated standby", saying(running(1, "at home")).now(failover.Gone), saying(stopped("this server hears nobody")),
			"null, none, stopped, split false, critical", "this server hears nobody"},
		{"failed on both", saying(failed), saying(failed),
			"null, none, failed, split false, critical", "start failed"},
		{"regular gone, failed on the standby", Seen{Liveness: failover.Gone}, saying(failed),
			"null, none, failed, split false, critical", "start failed"},
		{"regular's agent lost", saying(running(1, "at home")).now(failover.AgentLost), idle,
			"null, unknown, unknown, split null, unknown", "the agent of srv1 does not answer; its last word: at home"},
		{"regular's agent lost, taken over", saying(running(1, "at home")).now(failover.AgentLost), saying(starting),
			"sb1, standby, starting, split null, warning", "srv1 is down"},
		{"regular's agent lost while it had nothing", saying(stopped("runs on sb1")).now(failover.AgentLost), saying(stopped("waits for the alias to fall silent")),
			"null, unknown, unknown, split null, unknown", "waits for the alias to fall silent"},
		{"regular's agent stopped on purpose", saying(running(1, "at home")).parked(), idle,
			"srv1, regular, running, split null, warning", "at home"},
		{"both hold it", saying(running(1, "at home")), saying(running(2, "srv1 was down")),
			"sb1, standby, running, split true, critical", "srv1 was down"},
		{"both hold it under one term", saying(running(2, "at home")), saying(running(2, "srv1 was down")),
			"srv1, regular, running, split true, critical", "at home"},
		{"both run it, one holds it", saying(running(1, "at home")), saying(starting),
			"srv1, regular, running, split false, ok", "at home"},
		{"nothing heard of the regular", Seen{Liveness: failover.Unheard}, saying(stopped("srv1 was not heard yet")),
			"null, unknown, unknown, split null, unknown", "srv1 was not heard yet"},
		{"nothing heard of the standby", saying(stopped("waits for it")), Seen{},
			"null, unknown, stopped, split null, unknown", "waits for it"},
		{"running at home, nothing heard of the standby", saying(running(1, "at home")), Seen{},
			"srv1, regular, running, split null, unknown", "at home"},
		{"standby gone", saying(running(1, "at home")), Seen{Liveness: failover.Gone},
			"srv1, regular, running, split false, warning", "at home"},
		{"alive, but not yet heard what it claims", Seen{Liveness: failover.Alive}, idle,
			"null, unknown, unknown, split null, unknown", "srv1 is alive"},
		{"nothing heard at all", Seen{}, Seen{},
			"null, unknown, unknown, split null, unknown", ""},
		{"both gone", Seen{Liveness: failover.Gone}, Seen{Liveness: failover.Gone},
			"null, none, unknown, split false, critical", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, c, l := built(t, tt.srv1, tt.sb1)
			if got := summary(st, c, l); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if l.Reason != tt.reason {
				t.Errorf("reason %q, want %q", l.Reason, tt.reason)
			}
		})
	}
}

// cutOff is a server that hears nobody.
func (s Seen) cutOff() Seen {
	claim := *s.Claim
	claim.Isolated = true
	s.Claim = &claim
	return s
}

// An observer that hears nobody does not say that the others are down.
func TestIsolatedObserver(t *testing.T) {
	const cut = "sb1 hears nobody and may be cut off"
	for _, tt := range []struct {
		name      string
		srv1, sb1 Seen
		want      string
		reason    string
	}{
		{"it runs elsewhere", saying(running(1, "at home")).now(failover.Gone), saying(stopped("")).cutOff(),
			"null, unknown, unknown, split null, unknown", cut},
		{"it runs here", saying(stopped("")).now(failover.Gone), saying(running(2, "srv1 is down")).cutOff(),
			"sb1, standby, running, split null, unknown", "srv1 is down; " + cut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, c, l := built(t, tt.srv1, tt.sb1)
			if got := summary(st, c, l); got != tt.want || l.Reason != tt.reason {
				t.Errorf("got  %s (%s)\nwant %s (%s)", got, l.Reason, tt.want, tt.reason)
			}
			if s := c.Servers[1]; s.Name != "srv1" || s.Reachable != nil || s.SilentMs == nil {
				t.Errorf("server: %+v", s)
			}
		})
	}
}

// TestUnseenIsNull is the contract's rule for all that is in a status.
func TestUnseenIsNull(t *testing.T) {
	st, c, l := built(t, Seen{}, Seen{})
	if l.Since != nil || l.Data != nil || l.Fallback.Ready != nil || l.Alias.LastAnnounced != nil || l.Preload != nil {
		t.Errorf("LIM: %+v", l)
	}
	for _, h := range l.Alias.Holders {
		if h.Present != nil || h.Blocked != nil {
			t.Errorf("holder: %+v", h)
		}
	}
	s := c.Servers[1]
	if s.Name != "srv1" || s.Reachable != nil || s.SilentMs != nil || s.Revision != nil || s.ClockOffsetMs != nil {
		t.Errorf("server: %+v", s)
	}
	if text, err := json.Marshal(st); err != nil || strings.Contains(strings.ReplaceAll(string(text), `"waiting":false`, ""), "false") {
		t.Errorf("something unseen is false: %s (%v)", text, err)
	}
}

func TestFallbackReady(t *testing.T) {
	blocked := running(2, "srv1 is down")
	blocked.BlockedBy = []string{"srv1 is down", "no data"}
	for _, tt := range []struct {
		name      string
		srv1, sb1 Seen
		ready     string
		blockedBy []string
	}{
		{"at home", saying(running(1, "")), saying(stopped("")), "null", []string{}},
		{"ready", saying(stopped("")), saying(running(2, "")), "true", []string{}},
		{"not ready", Seen{Liveness: failover.Gone}, saying(blocked), "false", []string{"srv1 is down", "no data"}},
		{"standby's agent lost", saying(stopped("")), saying(blocked).now(failover.AgentLost), "null", []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, l := built(t, tt.srv1, tt.sb1)
			if got := word(l.Fallback.Ready); got != tt.ready {
				t.Errorf("ready %s, want %s", got, tt.ready)
			}
			if diff := cmp.Diff(tt.blockedBy, l.Fallback.BlockedBy); diff != "" {
				t.Errorf("blocked by (-want +got):\n%s", diff)
			}
		})
	}
}

// told is a data version that says what it follows, with files of some hours' age.
func told(name string, hours int, ancestors ...string) *failover.Data {
	v := lineage.Version{Node: lineage.Node{Name: name, Content: name}, Made: true}
	for _, a := range ancestors {
		v.Ancestors = append(v.Ancestors, lineage.Node{Name: a, Content: a})
	}
	return &failover.Data{Version: name, Newest: testTime().Add(time.Duration(hours) * time.Hour), Line: &v}
}

func conflicted(d *failover.Data) *failover.Data {
	d.Conflict = true
	return d
}

func TestData(t *testing.T) {
	future := version("xdata_1_20260301030000", time.Hour)
	has := func(d *failover.Data) Seen { return saying(withData(stopped(""), d)) }
	runs := func(d *failover.Data) Seen { return saying(withData(running(1, ""), d)) }
	const hour = int64(time.Hour / time.Millisecond)
	for _, tt := range []struct {
		name      string
		srv1, sb1 Seen
		want      string // newest, where, in sync, conflict; "": unknown
		age       int64
		health    string
	}{
		{"in sync", runs(newer()), has(newer()), newer().Version + " both true false", hour, "ok"},
		{"newer on the regular", runs(newer()), has(older()), newer().Version + " regular false false", hour, "ok"},
		{"newer on the standby", runs(older()), has(newer()), newer().Version + " standby false false", hour, "ok"},
		{"on the regular alone", runs(newer()), has(nil), newer().Version + " regular false false", hour, "ok"},
		{"on the standby alone", runs(nil), has(newer()), newer().Version + " standby false false", hour, "ok"},
		{"of one age under two names", runs(newer()), has(rival()), newer().Version + " both null null", hour, "ok"},
		{"none", runs(nil), has(nil), "", 0, "ok"},
		{"put back to an older state", runs(told("b", -2, "a")), has(told("a", -1)), "b regular false false", 2 * hour, "ok"},
		{"of one content under two names", runs(told("b", -2)), has(&failover.Data{Version: "x", Newest: testTime().Add(-time.Hour), Line: told("b", 0).Line}), "b both true false", 2 * hour, "ok"},
		{"in conflict", runs(told("b", -2, "a")), has(told("c", -1, "a")), "c standby false true", hour, "ok"},
		{"in conflict, as the last sync said", runs(conflicted(told("b", -2, "a"))), has(told("c", -1, "a")).now(failover.Gone), "c standby false true", hour, "warning"},
		{"regular gone, its data older", runs(older()).now(failover.Gone), runs(newer()), newer().Version + " standby null null", hour, "warning"},
		{"regular gone, its data newer", runs(newer()).now(failover.Gone), runs(older()), newer().Version + " regular null null", hour, "warning"},
		{"nobody's word is good", runs(newer()).now(failover.Gone), has(newer()).now(failover.AgentLost), "", 0, "unknown"},
		{"from a clock that is ahead", runs(future), has(newer()), future.Version + " regular false false", 0, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, _, l := built(t, tt.srv1, tt.sb1)
			got, age := "", int64(0)
			if d := l.Data; d != nil {
				got, age = strings.Join([]string{*d.Newest, *d.NewestOn, word(d.InSync), word(d.Conflict)}, " "), *d.AgeMs
			}
			if got != tt.want || age != tt.age || st.Health != tt.health {
				t.Errorf("got %q, age %d, %s; want %q, age %d, %s", got, age, st.Health, tt.want, tt.age, tt.health)
			}
		})
	}
}

func TestServers(t *testing.T) {
	yes, no, silent, none, revision := true, false, int64(41250), int64(0), uint64(6)
	known := levels.Known()
	self := StatusServer{Name: "sb1", Role: "standby", Reachable: &yes, SilentMs: &none, Revision: &revision, ClockOffsetMs: &none, Address: "10.0.0.13/24", Agent: &yes, Levels: &known}
	idle := saying()
	idle.Heard = time.Time{} // the observer
	ahead := saying()
	ahead.Heard = testTime().Add(time.Second)
	offset, ms := -90*time.Millisecond, int64(-90)
	measured := ahead
	measured.ClockOffset = &offset
	for _, tt := range []struct {
		name string
		srv1 Seen
		want StatusServer
	}{
		{"alive", ahead, StatusServer{Agent: &yes, Reachable: &yes, SilentMs: &none, Revision: &revision}},
		{"with its clock", measured, StatusServer{Agent: &yes, Reachable: &yes, SilentMs: &none, Revision: &revision, ClockOffsetMs: &ms}},
		{"its kernel answers", saying().now(failover.AgentLost), StatusServer{Agent: &no, Ready: &no, ReadyWhy: "its agent is silent", Reachable: &yes, SilentMs: &silent, Revision: &revision}},
		{"gone", saying().now(failover.Gone), StatusServer{Agent: &no, Ready: &no, ReadyWhy: "nothing is heard of it", Reachable: &no, SilentMs: &silent, Revision: &revision}},
		{"never heard", Seen{Liveness: failover.Unheard}, StatusServer{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, c, _ := built(t, tt.srv1, idle)
			tt.want.Name, tt.want.Role, tt.want.Address = "srv1", "regular", "10.0.0.21/24"
			if tt.want.Agent != nil {
				tt.want.Levels = &known
			}
			if diff := cmp.Diff([]StatusServer{self, tt.want}, c.Servers); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Clocks further apart than the data versions bear are a warning.
func TestHealthOfClocks(t *testing.T) {
	for offset, want := range map[time.Duration]string{time.Second: healthOK, -1900 * time.Millisecond: healthOK, 2100 * time.Millisecond: healthWarning, -time.Minute: healthWarning} {
		srv1 := saying(running(1, ""))
		srv1.ClockOffset = &offset
		if st, _, _ := built(t, srv1, saying(stopped(""))); st.Health != want {
			t.Errorf("offset %s: health is %s, want %s", offset, st.Health, want)
		}
	}
}

// What is said of a LIM in no cluster, whose server is not heard or does not answer.
func TestUnseenLIMInNoCluster(t *testing.T) {
	lim := running(1, "at home")
	lim.LIM = 3
	for _, tt := range []struct {
		srv3, sb1 Seen
		want      string
	}{
		{saying(lim).now(failover.Gone), saying(stopped("")), "none: srv3 is down"},
		{saying(lim).now(failover.Gone), saying(stopped("")).cutOff(), "unknown: sb1 hears nobody and may be cut off"},
		{saying(lim).now(failover.AgentLost), saying(stopped("")), "unknown: the agent of srv3 does not answer"},
		{Seen{Liveness: failover.Unheard}, saying(stopped("")), "unknown: srv3 was not heard yet"},
	} {
		doc := parsed(t)
		doc.Clusters = doc.Clusters[:1]
		st := Build(Input{Now: testTime(), Observer: "sb1", Document: doc, Servers: map[string]Seen{"sb1": tt.sb1, "srv1": saying(running(1, "")), "srv2": saying(running(1, "")), "srv3": tt.srv3}})
		i := slices.IndexFunc(st.Unclustered, func(l StatusLIM) bool { return l.LIM == 3 })
		if i < 0 {
			t.Fatalf("LIM 3 is not in no cluster: %+v", st)
		}
		if got := st.Unclustered[i].Side + ": " + st.Unclustered[i].Reason; got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// TestHealthOfWhatIsKept has one cluster in trouble beside a healthy one.
func TestHealthOfWhatIsKept(t *testing.T) {
	lim := func(n int) failover.LIMClaim { c := running(1, ""); c.LIM = n; return c }
	in := Input{Now: testTime(), Observer: "sb1", Document: parsed(t), Servers: map[string]Seen{
		"sb1": saying(stopped(""), failover.LIMClaim{LIM: 2, State: failover.Stopped}), "srv1": saying(lim(1)), "srv2": saying(lim(2)), "sb2": saying(), "srv3": saying(),
	}}
	for _, tt := range []struct {
		cluster string
		lims    []int
		want    string
	}{{"", nil, "critical"}, {"c1", nil, "ok"}, {"c2", nil, "critical"}, {"", []int{1}, "ok"}, {"", []int{1, 3}, "critical"}} {
		st := Build(in)
		if err := st.Only(tt.cluster, tt.lims); err != nil || st.Health != tt.want {
			t.Errorf("%q %v: %s (%v), want %s", tt.cluster, tt.lims, st.Health, err, tt.want)
		}
	}
	in.Document.Clusters = nil
	if st := Build(in); st.Health != "unknown" || len(st.Troubles()) != 1 || st.Troubles()[0].Severity != "unknown" {
		t.Errorf("without clusters, a LIM unseen: %+v, %+v", st, st.Troubles())
	}
	in.Servers["srv3"] = saying(lim(3))
	if st := Build(in); st.Health != "ok" || st.Clusters == nil || len(st.Troubles()) != 0 {
		t.Errorf("without clusters: %+v", st)
	}
	srv3 := saying(lim(3))
	srv3.Alarms = []alarms.Alarm{{Handle: 1, Name: alarms.DocumentUnreadable, Severity: alarms.Critical, Server: "srv3", Text: "it is cut short"}}
	in.Servers["srv3"] = srv3
	if st := Build(in); st.Health != "critical" || len(st.Troubles()) != 1 {
		t.Errorf("an alarm of a server in no cluster: %+v, %+v", st, st.Troubles())
	}
}
