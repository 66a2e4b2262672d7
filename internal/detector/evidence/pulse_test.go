package evidence

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// patient is a host that is asked as a Pulse wants it.
type patient struct {
	Pulse
	now               time.Time
	gossip, echo, arp func() bool // what is answered now
	sent              int         // by ARP
}

func newPatient(limit time.Duration) *patient {
	p := &patient{now: epoch, gossip: yes, echo: yes, arp: yes}
	p.Talks = true
	p.SetLimit(limit)
	return p
}

func yes() bool { return true }
func no() bool  { return false }

// live asks for some time; it returns when the first judgement was made that is asked for.
func (p *patient) live(d time.Duration, until func(Vitals) bool) time.Duration {
	began, spoke := p.now, time.Time{}
	for p.now.Sub(began) < d {
		if p.now.Sub(spoke) >= p.Limit()/5 && p.gossip() {
			p.Gossiped(p.now)
			spoke = p.now
		}
		q := p.Wants(p.now, true)
		p.Asked(p.now, q, true)
		if q.Echo && p.echo() {
			p.Echoed(p.now, p.now)
		}
		if q.One || q.All {
			p.sent++
			if p.arp() {
				p.Answered(p.now)
			}
		}
		if until(p.Judge(p.now)) {
			return p.now.Sub(began)
		}
		p.now = p.now.Add(p.Period(p.now))
	}
	return -1
}

func nothing(Vitals) bool      { return false }
func isGone(v Vitals) bool     { return v.Gone }
func isDoubtful(v Vitals) bool { return v.Doubtful }
func isBad(v Vitals) bool      { return v.Gone || v.Doubtful }

// What becomes of a server, by what of it answers from a moment on.
func TestPulse(t *testing.T) {
	for _, limit := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, time.Second, 10 * time.Second} {
		for _, tc := range []struct {
			name              string
			before            bool // it has answered echoes
			gossip, echo, arp func() bool
			gone, doubtful    bool
		}{
			{"all is well", true, yes, yes, yes, false, false},
			{"no power", true, no, no, no, true, false},
			{"no power, no echoes before", false, no, no, no, true, false},
			{"the agent is gone", true, no, yes, yes, false, false},
			{"the agent is gone, ARP is filtered", true, no, yes, no, false, false},
			{"the agent is gone, no echoes before", false, no, no, yes, false, false},
			{"no power, and a switch answers ARP", true, no, no, yes, false, true},
			{"a firewall drops echoes", true, yes, no, yes, false, false},
			{"a firewall drops echoes and ARP", true, yes, no, no, false, false},
		} {
			p := newPatient(limit)
			if !tc.before {
				p.echo = no
			}
			if at := p.live(20*limit, isBad); at >= 0 {
				t.Fatalf("%s, %s: not well after %s", limit, tc.name, at)
			}
			p.gossip, p.echo, p.arp = tc.gossip, tc.echo, tc.arp
			fork := *p
			gone, doubtful := p.live(10*limit, isGone), fork.live(10*limit, isDoubtful)
			for _, x := range []struct {
				what string
				at   time.Duration
				want bool
			}{{"gone", gone, tc.gone}, {"doubtful", doubtful, tc.doubtful}} {
				if (x.at >= 0) != x.want || x.want && (x.at < limit*7/10 || x.at > limit*13/10) {
					t.Errorf("%s, %s: %s after %s, want %v", limit, tc.name, x.what, x.at, x.want)
				}
			}
		}
	}
}

// Half is lost both ways, and the agent is stopped: a kernel that answers is never gone
// nor in doubt.
func TestPulseSurvivesLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		lucky := func() bool {
			seed = seed*6364136223846793005 + 1442695040888963407
			return seed>>62 == 0
		}
		p := newPatient(rapid.SampledFrom([]time.Duration{200 * time.Millisecond, time.Second, 10 * time.Second}).Draw(t, "limit"))
		p.live(3*p.Limit(), nothing)
		p.gossip, p.echo, p.arp = no, lucky, lucky
		if at := p.live(100*p.Limit(), isBad); at >= 0 {
			t.Fatalf("gone or doubtful after %s", at)
		}
	})
}

// Nobody is gone who answers anything that counts, whatever else happens.
func TestPulseNeverGoneWhileAnswering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPatient(time.Second)
		for range rapid.IntRange(1, 8).Draw(t, "phases") {
			answers := rapid.SampledFrom([][3]bool{{true, false, false}, {false, true, false}, {false, false, true}, {true, true, false}, {true, true, true}, {false, true, true}, {true, false, true}}).Draw(t, "answers")
			is := func(i int) func() bool { return func() bool { return answers[i] } }
			p.gossip, p.echo, p.arp = is(0), is(1), is(2)
			if answers == [3]bool{false, true, false} && !p.Echoes() {
				continue // echoes that are not asked for cannot be answered
			}
			if at := p.live(time.Duration(rapid.IntRange(100, 20_000).Draw(t, "ms"))*time.Millisecond, isGone); at >= 0 {
				t.Fatalf("gone after %s of %v", at, answers)
			}
		}
	})
}

// While all is well a server that answers echoes is asked by ARP once a minute.
func TestPulseAsksARPSeldom(t *testing.T) {
	p := newPatient(time.Second)
	p.live(10*time.Second, nothing)
	p.sent = 0
	p.live(10*time.Minute, nothing)
	if p.sent > 11 {
		t.Errorf("%d ARP questions in 10 minutes", p.sent)
	}
}

// An answer that comes late tells of when it was asked for.
func TestLateEchoIsNone(t *testing.T) {
	p := newPatient(time.Second)
	p.live(3*time.Second, nothing)
	last := p.LastHeard()
	p.Echoed(p.now.Add(-time.Minute), p.now.Add(time.Second))
	if !p.LastHeard().Equal(last) {
		t.Error("an echo of a minute ago counts as a sign of life")
	}
}

// What is said of a short silence limit is what is asked by ARP then.
func TestARPRates(t *testing.T) {
	for _, tc := range []struct {
		limit       time.Duration
		well, doubt int
	}{
		{100 * time.Millisecond, 100, 1500},
		{200 * time.Millisecond, 50, 1500},
		{500 * time.Millisecond, 20, 1200},
		{900 * time.Millisecond, 12, 669},
		{time.Second, 0, 0},
		{10 * time.Second, 0, 0},
		{0, 0, 0},
	} {
		if well, doubt := ARPRates(tc.limit); well != tc.well || doubt != tc.doubt {
			t.Errorf("%s: %d and %d, want %d and %d", tc.limit, well, doubt, tc.well, tc.doubt)
		}
		if tc.well == 0 {
			continue
		}
		p := newPatient(tc.limit)
		p.echo = no
		p.live(5*tc.limit, nothing)
		asked := func(d time.Duration) float64 {
			p.sent = 0
			p.live(d, nothing)
			return float64(p.sent) / d.Seconds()
		}
		if rate := asked(10 * time.Second); rate > float64(tc.well) || rate < 0.8*float64(tc.well) {
			t.Errorf("%s, all is well: %.0f a second, want %d", tc.limit, rate, tc.well)
		}
		p.gossip, p.arp = no, no
		p.live(tc.limit/2, nothing)
		base := float64(tc.doubt) / 3 // the rest is for the alias
		if rate := asked(tc.limit); rate > 1.05*base || rate < 0.8*base {
			t.Errorf("%s, in doubt: %.0f a second, want %.0f", tc.limit, rate, base)
		}
	}
}
