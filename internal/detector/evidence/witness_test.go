package evidence

import (
	"math/rand/v2"
	"testing"
	"time"
)

// One frame, or any number without a question, proves nothing.
func TestWitnessIsProvenByAnswers(t *testing.T) {
	var w Witness
	at := time.Unix(1e9, 0)
	for i := range 10 {
		w.Answered(at.Add(time.Duration(i)*time.Millisecond), time.Second)
	}
	if w.Proven() {
		t.Error("proven by frames that nobody asked for")
	}
	for range proof {
		w.Asked()
		w.Answered(at, time.Second)
		w.Answered(at, time.Second)
	}
	if w.Proven() {
		t.Error("proven by answers of the past")
	}
	for i := range proof {
		if w.Proven() {
			t.Errorf("proven by %d answers", i)
		}
		w.Asked()
		w.Answered(at.Add(time.Second+time.Duration(i)), time.Second)
	}
	if !w.Proven() {
		t.Error("not proven")
	}
}

// isolationTrace plays judgements every tenth of the limit from what is heard, the last
// answer and the first of an unbroken row, as tenths.
type isolationStep struct {
	what     string
	link     bool
	several  bool
	last     int // tenths ago; -1: never
	since    int // tenths ago; -1: no row
	busy     bool
	settling bool
	isolated bool
	listens  bool
}

func TestIsolation(t *testing.T) {
	const limit = time.Second
	now := time.Unix(1e9, 0)
	var i Isolation
	ago := func(tenths int) time.Time {
		if tenths < 0 {
			return time.Time{}
		}
		return now.Add(-time.Duration(tenths) * limit / 10)
	}
	for _, s := range []isolationStep{
		{what: "starting", link: true, several: true, last: -1, since: -1, settling: true},
		{what: "all is well", link: true, several: true, last: 0, since: 100},
		{what: "silence for half the limit", link: true, several: true, last: 5, since: 100},
		{what: "longer, but this process was away", link: true, several: true, last: 6, since: -1, busy: true},
		{what: "longer", link: true, several: true, last: 6, since: -1, isolated: true},
		{what: "this process is away", link: true, several: true, last: 7, since: -1, busy: true, isolated: true},
		{what: "one frame", link: true, several: true, last: 0, since: 0, isolated: true, listens: true},
		{what: "silence again", link: true, several: true, last: 6, since: -1, isolated: true},
		{what: "a row", link: true, several: true, last: 0, since: 9, isolated: true, listens: true},
		{what: "a row for the limit", link: true, several: true, last: 0, since: 10},
		{what: "the only other one falls silent", link: true, last: 50, since: -1},
		{what: "the cable is pulled", last: 0, since: 50, isolated: true},
		{what: "and plugged in, which ends no row", link: true, several: true, last: 0, since: 51, isolated: true, listens: true},
	} {
		c := Circumstances{Now: now, Limit: limit, Link: s.link, Settling: s.settling, Attentive: ago(60),
			Testimony: Testimony{Several: s.several, Last: ago(s.last), Since: ago(s.since)}}
		if s.busy {
			c.Attentive = now
		}
		if i = i.Next(c); i.Isolated != s.isolated || i.Listens != s.listens {
			t.Errorf("%s: %+v", s.what, i)
		}
		now = now.Add(limit / 10)
	}
	for range 20 { // with a single host the link alone tells, after the limit
		i = i.Next(Circumstances{Now: now, Limit: limit, Link: true, Attentive: ago(60), Testimony: Testimony{Last: ago(40)}})
		now = now.Add(limit / 10)
	}
	if i.Isolated {
		t.Error("isolated with a link that works, and one other host")
	}
}

// Whatever is heard when: from one turn to the next nearly half of the limit passes, and
// what ends isolation is an unbroken row of answers.
func TestIsolationIsStable(t *testing.T) {
	const limit, longest = time.Second, 40 * time.Millisecond // from one judgement to the next
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		now := time.Unix(1e9, 0)
		var i Isolation
		var w Witness
		turned := now.Add(-time.Hour)
		w.Asked()
		w.Answered(now, limit)
		w.Asked()
		w.Answered(now.Add(1), limit)
		share := rnd.IntN(100)
		for range 2000 {
			now = now.Add(time.Duration(1+rnd.IntN(40)) * longest / 40)
			if rnd.IntN(300) == 0 {
				share = rnd.IntN(100)
			}
			w.Asked()
			if rnd.IntN(400) < share*share*4/100 {
				w.Answered(now, limit)
			}
			c := Circumstances{Now: now, Limit: limit, Link: true, Testimony: Testimony{Several: true, Last: w.Last()}}
			if now.Sub(w.Last()) <= limit/2 {
				c.Since = w.Since()
			}
			was := i.Isolated
			if i = i.Next(c); i.Isolated == was {
				continue
			}
			if now.Sub(turned) < limit/2-2*longest {
				t.Fatalf("seed %d: turned twice within %s", seed, now.Sub(turned))
			}
			if !i.Isolated && now.Sub(w.Since()) < limit {
				t.Fatalf("seed %d: ended after a row of %s", seed, now.Sub(w.Since()))
			}
			turned = now
		}
	}
}

func TestWitnessesWithoutOne(t *testing.T) {
	for _, tc := range []struct {
		w          Witnesses
		without    string
		acts, only bool
	}{
		{Witnesses{Several: true, Mates: []string{"srv1", "srv2"}}, "srv1", true, true},
		{Witnesses{Several: true, Mates: []string{"srv2"}}, "srv2", false, false},
		{Witnesses{Several: true, Mates: []string{"srv2"}, Others: 1}, "srv2", true, false},
		{Witnesses{Several: true, Mates: []string{"srv1", "srv2"}, Others: 1}, "srv2", true, false},
		{Witnesses{Mates: []string{"srv1"}}, "srv1", true, false},
		{Witnesses{Several: true, Mates: []string{"srv1"}, Supposing: true}, "srv1", true, false},
	} {
		if got := tc.w.ActsWithout(tc.without); got != tc.acts {
			t.Errorf("%+v without %s: acts %v", tc.w, tc.without, got)
		}
		if got := tc.w.OnlyMates(); got != tc.only {
			t.Errorf("%+v: only mates %v", tc.w, got)
		}
	}
}
