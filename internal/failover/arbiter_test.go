package failover

import (
	"testing"

	"pgregory.net/rapid"
)

// drawVerdicts gives a view an arbiter.
func drawVerdicts(t *rapid.T, v *View) {
	v.Arbiter = &Arbiter{Lease: 1, LIMs: map[int]Verdict{}}
	for _, m := range v.Document.Clusters[0].LIMs {
		w := Verdict{Word: rapid.SampledFrom([]Word{Ours, Free, Held, Silent}).Draw(t, "word")}
		if w.Word == Held {
			w.Holder = rapid.SampledFrom([]string{regularName(m.LIM), "somebody"}).Draw(t, "holder")
		}
		v.Arbiter.LIMs[m.LIM] = w
	}
}

// With an arbiter nothing runs without its key; what serves without one is told to
// take its alias off first, and the standby asks for one key at a time.
func TestNothingRunsWithoutItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, v := drawStandbyView(t)
		if rapid.Bool().Draw(t, "regular") {
			v.Self = "srv1"
			v.Peers["sb1"] = Peer{Liveness: Alive, Claim: claimOf("sb1", true, map[int]Local{1: drawLocal(t, 1)})}
			delete(v.Peers, "srv1")
			v.LIMs = map[int]Local{1: v.LIMs[1]}
		}
		drawVerdicts(t, &v)
		p, asks := Decide(v), 0
		for _, d := range p.Decisions {
			word := v.Arbiter.LIMs[d.LIM].Word
			l := v.LIMs[d.LIM]
			if d.Want == Run && word != Ours {
				t.Fatalf("LIM %d runs though its key is %s:\n%s", d.LIM, word, trace(p))
			}
			if serves := l.Holds && l.State.Active() && l.State != Stopping; serves && word != Ours && (d.Want != Stop || d.Rule == RuleArbiter && !d.AliasOff) {
				t.Fatalf("LIM %d serves though its key is %s:\n%s", d.LIM, word, trace(p))
			}
			if d.Claim {
				asks++
			}
		}
		if asks > 1 {
			t.Fatalf("%d keys are asked for at once:\n%s", asks, trace(p))
		}
	})
}

// An arbiter that gives every LIM to this server changes no decision.
func TestKeysThatAreOursChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, v := drawStandbyView(t)
		before := trace(Decide(v))
		v.Arbiter = &Arbiter{Lease: 1, LIMs: map[int]Verdict{}}
		for _, m := range v.Document.Clusters[0].LIMs {
			v.Arbiter.LIMs[m.LIM] = Verdict{Word: Ours}
		}
		if after := trace(Decide(v)); after != before {
			t.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}
