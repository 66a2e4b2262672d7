package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"mxcluster/clusterconf"
)

// epoch is when every scenario begins; times in scenarios are offsets from it.
var epoch = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// TestScenarios plays the files in testdata, one for each rule. A file builds a
// view line by line and asks what the brain makes of it:
//
//	cluster [preloaded] [fallback=automatic] [split-brain-stop=standby] lims=N:PRIORITY,...
//	self SERVER [unsettled] [isolated] [rejoined] [started=-1m] [deaf=-5s]
//	peer SERVER LIVENESS [since=-5s] [idle=-5s] [revision=N] [unsettled] [parked] [leaving] [run=ID] [arbiter=silent|reached] [N=STATE[:TERM][:holds][:released][:regular-yields|:standby-yields]]...
//	local N STATE [term=N] [holds] [released=-1s] [known=SERVER:TERM] [retry=5s] [data=2h] [flaps=N] [fellback=-1m] [suspended=ID] [unfit]
//	wire N silent|answers
//	arbiter N ours|free|held|silent [SERVER] [back]    (back: it answers since now; the first one says that there is an arbiter, with a lease of 6s)
//	order fallback|failover N [now]
//	lock N regular|standby [expires=5m] | unlock N
//	drain SERVER | undrain SERVER | freeze [until=5m] | unfreeze | window HH:MM-HH:MM|always
//	decide
//
// The cluster is c1 with standby sb1; LIM N runs on srvN regularly.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasSuffix(path, ".fail") {
			t.Skip("what a property failed with, kept by rapid")
		}
		s := &scenario{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			return s.do(t, d)
		})
	})
}

type scenario struct{ view View }

func (s *scenario) do(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "cluster":
		s.view = View{Now: epoch, Settled: true, StartGrace: 30 * time.Second, FirstHold: 2 * time.Minute, Started: epoch.Add(-time.Hour),
			Document: document(d), Peers: map[string]Peer{}, LIMs: map[int]Local{}, Wire: map[int]Wire{}}
		return ""
	case "decide":
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			s.line(t, line)
		}
		return trace(Decide(s.view))
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return ""
}

// line changes the view by one line of a decide command.
func (s *scenario) line(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "self":
		s.self(t, words[1:])
	case "peer":
		s.peer(t, words[1:])
	case "local":
		s.local(t, words[1:])
	case "wire":
		s.view.Wire[number(t, words[1])] = Wire{AskedSince: epoch, Silent: words[2] == "silent"}
	case "arbiter":
		s.arbiter(t, words[1:])
	case "order":
		o := Order{Kind: Kind(words[1]), LIM: number(t, words[2]), Now: slices.Contains(words, "now"), Expires: epoch.Add(time.Minute)}
		for _, w := range words[3:] {
			switch key, value, _ := strings.Cut(w, "="); key {
			case "dead":
				o.Dead = value
			case "term":
				o.Term = uint64(number(t, value))
			}
		}
		s.view.Orders = append(s.view.Orders, o)
	case "lock":
		s.lock(t, words[1:])
	case "unlock":
		s.view.Document.Clusters[0].Member(number(t, words[1])).Lock = nil
	case "drain", "undrain", "freeze", "unfreeze", "window":
		s.maintain(t, words)
	case "no-orders":
		s.view.Orders = nil
	default:
		t.Fatalf("unknown line %q", line)
	}
}

func (s *scenario) arbiter(t *testing.T, words []string) {
	t.Helper()
	if s.view.Arbiter == nil {
		s.view.Arbiter = &Arbiter{Lease: 6 * time.Second, LIMs: map[int]Verdict{}}
	}
	w := Verdict{Word: Word(words[1])}
	if words[len(words)-1] == "back" {
		s.view.Arbiter.Since = epoch
	}
	if w.Word == Held {
		w.Holder = words[2]
	}
	s.view.Arbiter.LIMs[number(t, words[0])] = w
}

func (s *scenario) lock(t *testing.T, words []string) {
	t.Helper()
	l := &clusterconf.Lock{To: clusterconf.Side(words[1]), Since: epoch.Add(-time.Hour), By: "root", Reason: "reboot"}
	for _, w := range words[2:] {
		end := offset(t, strings.TrimPrefix(w, "expires="))
		l.Expires = &end
	}
	s.view.Document.Clusters[0].Member(number(t, words[0])).Lock = l
}

func (s *scenario) maintain(t *testing.T, words []string) {
	t.Helper()
	m, c := &clusterconf.Maintenance{Since: epoch.Add(-time.Hour), By: "root", Reason: "new disk"}, &s.view.Document.Clusters[0]
	for _, w := range words[1:] {
		if value, ok := strings.CutPrefix(w, "until="); ok {
			end := offset(t, value)
			m.Until = &end
		}
	}
	switch words[0] {
	case "drain":
		s.view.Document.Server(words[1]).Drained = m
	case "undrain":
		s.view.Document.Server(words[1]).Drained = nil
	case "freeze":
		c.Frozen = m
	case "unfreeze":
		c.Frozen = nil
	case "window":
		w, err := clusterconf.ParseWindow(words[1])
		if err != nil {
			t.Fatal(err)
		}
		c.FallbackWindow = w
	}
}

func (s *scenario) self(t *testing.T, words []string) {
	t.Helper()
	s.view.Self, s.view.Settled, s.view.Isolated, s.view.Started, s.view.Deaf = words[0], true, false, epoch.Add(-time.Hour), time.Time{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "unsettled":
			s.view.Settled = false
		case "isolated":
			s.view.Isolated = true
		case "rejoined":
			s.view.Rejoined = true
		case "started":
			s.view.Started = offset(t, value)
		case "deaf":
			s.view.Deaf = offset(t, value)
		default:
			t.Fatalf("unknown word %q", w)
		}
	}
}

func (s *scenario) peer(t *testing.T, words []string) {
	t.Helper()
	p := Peer{Liveness: Liveness(words[1]), Since: epoch.Add(-time.Minute)}
	c := &Claim{Server: words[0], Revision: 1, Settled: true}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "since":
			p.Since = offset(t, value)
		case "revision":
			c.Revision = uint64(number(t, value))
		case "unsettled":
			c.Settled = false
		case "parked":
			c.Parked = true
		case "leaving":
			c.Leaving = true
		case "run":
			c.Run = value
		case "run-since":
			p.RunSince = offset(t, value)
		case "arbiter":
			c.Arbiter = value
		case "idle":
			p.IdleSince = offset(t, value)
		default:
			c.LIMs = append(c.LIMs, limClaim(t, words[0], number(t, key), value))
		}
	}
	if p.Liveness != Unheard {
		p.Claim = c
	}
	s.view.Peers[words[0]] = p
}

// limClaim reads STATE[:TERM][:holds][:released][:data][:unable][:unfit|:unchecked|:failing|:fit-again][:SIDE-yields].
func limClaim(t *testing.T, server string, lim int, text string) LIMClaim {
	t.Helper()
	parts := strings.Split(text, ":")
	c := LIMClaim{LIM: lim, State: State(parts[0]), Since: epoch.Add(-time.Minute), Reason: "its reason"}
	if c.State == Failed {
		c.Failure = "it exited with 1"
	}
	for _, w := range parts[1:] {
		switch w {
		case "holds":
			c.Holds = true
		case "released":
			c.Released = true
		case "regular-yields":
			c.Yields = clusterconf.SideRegular
		case "standby-yields":
			c.Yields = clusterconf.SideStandby
		case "unfit":
			c.Unfit = "check /trunk: it is down"
		case "unchecked":
			c.Unchecked = "its checks have not run yet"
		case "failing":
			c.Failing = "check /trunk: it is down"
		case "fit-again":
			c.FitSince = epoch
		case "unable":
			c.Unable = "program /lim does not exist"
		case "data":
			c.Data = &Data{Version: "xdata_1_20260301000000", Newest: epoch.Add(-2 * time.Hour)}
		default:
			c.Term = uint64(number(t, w))
			c.Known = Place{Term: c.Term, Server: server}
		}
	}
	return c
}

func (s *scenario) local(t *testing.T, words []string) {
	t.Helper()
	l := Local{Standing: Standing{State: State(words[1])}}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "term":
			l.Term = uint64(number(t, value))
			l.Known = Place{Term: l.Term, Server: s.view.Self}
		case "holds":
			l.Holds = true
		case "released":
			l.Released = offset(t, value)
		case "known":
			server, term, _ := strings.Cut(value, ":")
			l.Known = Place{Term: uint64(number(t, term)), Server: server}
		case "retry":
			l.RetryAt, l.Failure = offset(t, value), "it exited with 1"
		case "data":
			l.Data = &Data{Version: "xdata_1_20260301010000", Newest: offset(t, value)}
		case "flaps":
			l.Flaps.Count = number(t, value)
		case "fellback":
			l.Flaps.FellBack = offset(t, value)
		case "unfit":
			l.Fitness.Unfit = "check /trunk: it is down"
		case "suspended":
			l.Suspended = Suspension{Run: value, Why: "the fallback failed: its reason"}
		default:
			t.Fatalf("unknown word %q", w)
		}
	}
	s.view.LIMs[number(t, words[0])] = l
}

// document builds a cluster of the scenario's LIMs.
func document(d *datadriven.TestData) *clusterconf.Document {
	c := clusterconf.Cluster{Name: "c1", Standby: "sb1", Fallback: clusterconf.FallbackManual,
		Failover: clusterconf.FailoverNormal, SplitBrainStop: clusterconf.SideRegular}
	doc := &clusterconf.Document{Revision: 1, Servers: []clusterconf.Server{{Name: "sb1", Standby: true}}}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "fallback":
			c.Fallback = clusterconf.FallbackType(arg.Vals[0])
		case "preloaded":
			c.Failover = clusterconf.FailoverPreloaded
		case "split-brain-stop":
			c.SplitBrainStop = clusterconf.Side(arg.Vals[0])
		case "lims":
			for _, v := range arg.Vals {
				n, prio, _ := strings.Cut(v, ":")
				lim, _ := strconv.Atoi(n)
				priority, _ := strconv.Atoi(prio)
				doc.Servers = append(doc.Servers, clusterconf.Server{Name: "srv" + n, LIM: lim})
				doc.LIMs = append(doc.LIMs, clusterconf.LIM{Number: lim})
				c.LIMs = append(c.LIMs, clusterconf.Member{LIM: lim, Priority: priority,
					Alias: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + lim)}), 24)})
			}
		}
	}
	doc.Clusters = []clusterconf.Cluster{c}
	return doc
}

// trace writes a plan down, one line for each LIM.
func trace(p Plan) string {
	var b strings.Builder
	for _, d := range p.Decisions {
		fmt.Fprintf(&b, "lim %d: %s", d.LIM, d.Want)
		if d.Want == Run {
			fmt.Fprintf(&b, " term %d", d.Term)
		}
		fmt.Fprintf(&b, " [%s] %s", d.Rule, d.Reason)
		for _, flag := range []struct {
			on   bool
			name string
		}{{d.AliasOff, "alias-off"}, {d.Release, "release"}, {d.Unmark, "unmark"}, {d.Waiting, "waiting"}, {d.AskWire, "ask-wire"}, {d.Claim, "claim"}, {d.SaidDead, "said-dead"}} {
			if flag.on {
				fmt.Fprintf(&b, " (%s)", flag.name)
			}
		}
		b.WriteByte('\n')
		if len(d.BlockedBy) > 1 {
			fmt.Fprintf(&b, "  fallback is blocked: %s\n", strings.Join(d.BlockedBy, "; "))
		}
		if d.Flaps != nil && d.Flaps.Count > 0 {
			fmt.Fprintf(&b, "  keeps: %d failures soon after a fallback\n", d.Flaps.Count)
		}
		if d.Suspended != nil && d.Suspended.Why != "" {
			fmt.Fprintf(&b, "  keeps: %s\n", d.Suspended.Why)
		}
	}
	if b.Len() == 0 {
		return "nothing concerns this server\n"
	}
	return b.String()
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%q is no number", text)
	}
	return n
}

func offset(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%q is no duration", text)
	}
	return epoch.Add(d)
}
