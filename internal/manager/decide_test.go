package manager

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
)

func TestManagementSystemFollowsLIM1(t *testing.T) {
	at := func(timeline uint32, lsn LSN) Position { return Position{Timeline: timeline, LSN: lsn} }
	active, ready := Word{State: Active}, Word{State: Passive, Ready: true}
	behind := func(p Position) Word { return Word{State: Passive, Position: p} }
	for name, tt := range map[string]struct {
		v    View
		want Want
	}{
		"not set up":                          {View{Role: Master, LIM: true, Heard: true, Other: active}, Stay},
		"at home":                             {View{Role: Master, Here: active, LIM: true, Heard: true, Other: ready}, Lead},
		"at home, alone":                      {View{Role: Master, Here: active, LIM: true}, Lead},
		"standby follows":                     {View{Role: Standby, Here: ready, Heard: true, Other: active, OtherLIM: true}, Follow},
		"takeover":                            {View{Role: Standby, Here: ready, LIM: true}, Lead},
		"not heard, LIM 1 elsewhere":          {View{Role: Standby, Here: ready}, Follow},
		"planned move to the standby":         {View{Role: Master, Here: active, Heard: true, Other: ready, OtherLIM: true}, Release},
		"planned move, not caught up":         {View{Role: Master, Here: active, Heard: true, Other: behind(at(1, 5)), OtherLIM: true}, Lead},
		"given up":                            {View{Role: Standby, Here: ready, LIM: true, Heard: true, Other: Word{State: Released, Position: at(1, 9)}}, Lead},
		"waits for who takes it":              {View{Role: Master, Here: Word{State: Released, Position: at(1, 9)}, Since: time.Second, Heard: true, Other: ready, OtherLIM: true}, Stay},
		"nobody took it":                      {View{Role: Master, Here: Word{State: Released, Position: at(1, 9)}, Since: time.Minute, Heard: true, Other: behind(at(1, 8)), OtherLIM: true}, Follow},
		"the other one is about to":           {View{Role: Master, Here: behind(at(1, 9)), Since: time.Minute, Heard: true, Other: Word{State: Passive, Position: at(1, 8), Leads: true}, OtherLIM: true}, Follow},
		"passive for a moment only":           {View{Role: Master, Here: behind(at(1, 9)), LIM: true, Since: time.Second, Heard: true, Other: behind(at(1, 8))}, Follow},
		"was taken":                           {View{Role: Master, Here: Word{State: Released, Position: at(1, 9)}, Heard: true, Other: active, OtherLIM: true}, Follow},
		"LIM 1 is back, manual":               {View{Role: Standby, Here: active, Heard: true, Other: ready, OtherLIM: true, Fallback: clusterconf.FallbackManual}, Lead},
		"LIM 1 is back, ordered":              {View{Role: Standby, Here: active, Heard: true, Other: Word{State: Passive, Ready: true, Wants: true}, OtherLIM: true, Fallback: clusterconf.FallbackManual}, Release},
		"LIM 1 is back, automatic":            {View{Role: Standby, Here: active, Heard: true, Other: ready, OtherLIM: true, Fallback: clusterconf.FallbackAutomatic}, Release},
		"LIM 1 is back, not caught up":        {View{Role: Standby, Here: active, Heard: true, Other: behind(at(2, 1)), OtherLIM: true, Fallback: clusterconf.FallbackAutomatic}, Lead},
		"both, LIM 1 left":                    {View{Role: Master, Here: active, Heard: true, Other: active, OtherLIM: true}, Follow},
		"both, LIM 1 here":                    {View{Role: Standby, Here: active, LIM: true, Heard: true, Other: active}, Lead},
		"both, LIM 1 on both":                 {View{Role: Master, Here: active, LIM: true, Heard: true, Other: active, OtherLIM: true}, Lead},
		"neither, further here":               {View{Since: time.Minute, Role: Standby, Here: behind(at(2, 1)), Heard: true, Other: behind(at(1, 9)), OtherLIM: true}, Lead},
		"neither, further there":              {View{Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true, Other: behind(at(2, 1))}, Follow},
		"neither, the same":                   {View{Since: time.Minute, Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true, Other: behind(at(1, 9))}, Lead},
		"neither, the same, LIM 1 there":      {View{Role: Standby, Here: behind(at(1, 9)), Heard: true, Other: behind(at(1, 9)), OtherLIM: true}, Follow},
		"neither, not known how far":          {View{Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true, Other: behind(Position{})}, Follow},
		"restarted, the other one streams":    {View{Since: time.Minute, Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true, Other: ready}, Lead},
		"nothing is set up on the other":      {View{Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true}, Lead},
		"an old master beside a new one":      {View{Role: Master, Here: behind(at(1, 9)), LIM: true, Heard: true, Other: active}, Follow},
		"released, and the other one is gone": {View{Role: Standby, Here: Word{State: Released, Position: at(1, 9)}, LIM: true}, Lead},
	} {
		if got, why := Decide(tt.v); got != tt.want || why == "" {
			t.Errorf("%s: %s (%s), want %s", name, got, why, tt.want)
		}
	}
}

// Whatever two servers say of each other, as long as both hear each other: they never both begin
// to accept writes, writes are not given up for a server that does not stream, and of two that
// accept them at most one gives way.
func TestTwoServersNeverBothBeginToAcceptWrites(t *testing.T) {
	word := func(t *rapid.T, name string) Word {
		return Word{State: rapid.SampledFrom([]State{Active, Passive, Released}).Draw(t, name), Ready: rapid.Bool().Draw(t, name+" ready"),
			Position: Position{Timeline: rapid.Uint32Range(0, 2).Draw(t, name+" timeline"), LSN: LSN(rapid.Uint64Range(0, 3).Draw(t, name+" position"))},
			Wants:    rapid.Bool().Draw(t, name+" wants")}
	}
	rapid.Check(t, func(t *rapid.T) {
		m, s := word(t, "master"), word(t, "standby")
		if m.State == Released && s.State == Released {
			return // a server that gave its writes up follows before the other one can
		}
		if m.State != Active && s.State != Active { // none of the two can stream from the other
			m.Ready, s.Ready = false, false
		}
		home := rapid.SampledFrom([]Role{Master, Standby, ""}).Draw(t, "LIM 1")
		fallback := rapid.SampledFrom([]clusterconf.FallbackType{clusterconf.FallbackManual, clusterconf.FallbackAutomatic}).Draw(t, "fallback")
		since := time.Duration(rapid.IntRange(0, 60).Draw(t, "since")) * time.Second
		wm, _ := Decide(View{Role: Master, Fallback: fallback, Here: m, Since: since, LIM: home == Master, Heard: true, Other: s, OtherLIM: home == Standby})
		ws, _ := Decide(View{Role: Standby, Fallback: fallback, Here: s, Since: since, LIM: home == Standby, Heard: true, Other: m, OtherLIM: home == Master})
		begins := func(w Want, is Word) bool { return w == Lead && is.State != Active }
		if begins(wm, m) && begins(ws, s) {
			t.Fatalf("both begin: %+v, %+v", m, s)
		}
		if begins(wm, m) && s.State == Active || begins(ws, s) && m.State == Active {
			t.Fatalf("one begins beside the other: %+v, %+v", m, s)
		}
		if wm == Release && !s.Ready || ws == Release && !m.Ready {
			t.Fatalf("given up for nobody: %+v, %+v", m, s)
		}
		if m.State == Active && s.State == Active && wm != Lead && ws != Lead {
			t.Fatalf("both give way: %s, %s", wm, ws)
		}
	})
}
