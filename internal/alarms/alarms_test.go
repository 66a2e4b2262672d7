package alarms

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func down(lim int) Condition {
	return Condition{Name: LIMDown, Severity: Critical, LIM: lim, Server: fmt.Sprintf("srv%d", lim), Text: "is down"}
}

// words names changes, such as "+1 lim-down 2" and "-1 lim-down 2".
func words(changes []Change) string {
	var out []string
	for _, c := range changes {
		sign := "-"
		if c.Raised {
			sign = "+"
		}
		out = append(out, fmt.Sprintf("%s%d %s %d", sign, c.Handle, c.Name, c.LIM))
	}
	return strings.Join(out, ", ")
}

func TestRaiseAndClear(t *testing.T) {
	late := down(3)
	late.After = 2 * time.Second
	unsure := down(1)
	unsure.Unsure, unsure.Text = true, "who knows"
	steps := []struct {
		at   time.Duration
		when string
		hold []Condition
		want string
	}{
		{0, "nothing", nil, ""},
		{0, "two at once, in their own order", []Condition{down(2), down(1)}, "+1 lim-down 1, +2 lim-down 2"},
		{time.Second, "they go on", []Condition{down(1), down(2)}, ""},
		{time.Second, "one twice", []Condition{down(1), down(1), down(2)}, ""},
		{2 * time.Second, "one ends, one begins", []Condition{down(2), late}, "-1 lim-down 1"},
		{3 * time.Second, "it has not held for long enough", []Condition{down(2), late}, ""},
		{4 * time.Second, "now it has; no handle comes twice", []Condition{down(2), late}, "+3 lim-down 3"},
		{5 * time.Second, "unsure raises nothing", []Condition{down(2), late, unsure}, ""},
		{6 * time.Second, "it is so", []Condition{down(1), down(2), late}, "+4 lim-down 1"},
		{7 * time.Second, "unsure clears nothing", []Condition{unsure, down(2), late}, ""},
		{8 * time.Second, "all is well", nil, "-2 lim-down 2, -3 lim-down 3, -4 lim-down 1"},
		{9 * time.Second, "a wait begins anew", []Condition{late}, ""},
		{10 * time.Second, "and is not over", []Condition{late}, ""},
		{time.Second, "the clock is put back", []Condition{late}, ""},
		{3 * time.Second, "the wait counts from there", []Condition{late}, "+5 lim-down 3"},
	}
	var s State
	for _, x := range steps {
		var changes []Change
		s, changes = Update(s, start.Add(x.at), x.hold, nil)
		if got := words(changes); got != x.want {
			t.Errorf("%s: %q, want %q", x.when, got, x.want)
		}
		// A restart of the agent changes nothing but the waits.
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again := State{pending: s.pending}
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatal(err)
		}
		s = again
	}
}

func TestWordsFollowTheCondition(t *testing.T) {
	s, _ := Update(State{}, start, []Condition{down(1)}, nil)
	milder := down(1)
	milder.Severity, milder.Text, milder.Expected = Warning, strings.Repeat("ä", 500), true
	s, changes := Update(s, start.Add(time.Hour), []Condition{milder}, nil)
	a := s.Alarms[0]
	if len(changes) != 0 || a.Severity != Warning || !a.Expected || !a.RaisedAt.Equal(start) || a.Handle != 1 {
		t.Errorf("after other words: %+v, changes %v", a, changes)
	}
	if len(a.Text) > maxText || !utf8.ValidString(a.Text) || !strings.HasSuffix(a.Text, "ä…") {
		t.Errorf("a long text became %q", a.Text)
	}
	milder.Unsure, milder.Text = true, "not known"
	if s, _ = Update(s, start, []Condition{milder}, nil); s.Alarms[0].Text != a.Text {
		t.Errorf("what is not known became the text: %q", s.Alarms[0].Text)
	}
}

// Two servers that see the same thing say so under one handle, and one handle
// never stays with two alarms.
func TestServersAgree(t *testing.T) {
	a, _ := Update(State{}, start, []Condition{down(1)}, nil)
	b, _ := Update(State{}, start.Add(time.Second), []Condition{down(2)}, nil) // has not heard of a
	b, changes := Update(b, start.Add(2*time.Second), []Condition{down(1), down(2)}, a.Alarms)
	if got := words(changes); got != "+1 lim-down 1" {
		t.Errorf("raised %q", got)
	}
	a, _ = Update(a, start.Add(3*time.Second), []Condition{down(1)}, b.Alarms)
	all := Merge(a.Alarms, b.Alarms)
	if len(all) != 2 || all[0].LIM != 1 || all[0].Handle != 1 || !all[0].RaisedAt.Equal(start) || all[1].Handle != 2 {
		t.Errorf("together: %+v", all)
	}
	if a, _ = Update(a, start, []Condition{down(1), down(3)}, b.Alarms); a.Alarms[1].Handle != 3 {
		t.Errorf("a handle that another server gave out came again: %+v", a.Alarms)
	}
	mad := []Alarm{{Handle: 1 << 40, Name: LIMDown, LIM: 9, Server: "srv9"}, {Handle: -5, Name: LIMDown, LIM: 4, Server: "srv4"}}
	if a, _ = Update(a, start, []Condition{down(4), down(9)}, mad); a.Alarms[0].Handle != 4 || a.Alarms[1].Handle != 5 {
		t.Errorf("damaged handles were taken over: %+v", a.Alarms)
	}
}

// However conditions come and go on three servers, soon after they stay as they
// are every alarm has one handle and every handle one alarm.
func TestServersAgreeInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := make([]State, 3)
		hold := make([][]Condition, 3)
		now := start
		step := func() {
			for i := range states {
				var others []Alarm
				for j := range states {
					if j != i && rapid.IntRange(0, 3).Draw(t, "heard") > 0 {
						others = append(others, states[j].Alarms...)
					}
				}
				states[i], _ = Update(states[i], now.Add(rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "skew")), hold[i], others)
			}
			now = now.Add(time.Second)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "server")
			hold[i] = nil
			for _, lim := range rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 0, 4, rapid.ID).Draw(t, "lims") {
				hold[i] = append(hold[i], down(lim))
			}
			step()
		}
		for range 8 { // all hear all
			for i := range states {
				others := slices.Concat(states[(i+1)%3].Alarms, states[(i+2)%3].Alarms)
				states[i], _ = Update(states[i], now, hold[i], others)
			}
		}
		handles, keys := map[int]Key{}, map[Key]int{}
		for _, s := range states {
			for _, a := range s.Alarms {
				if k, ok := handles[a.Handle]; ok && k != a.Key() {
					t.Fatalf("handle %d names %v and %v", a.Handle, k, a.Key())
				}
				if h, ok := keys[a.Key()]; ok && h != a.Handle {
					t.Fatalf("%v has handles %d and %d", a.Key(), h, a.Handle)
				}
				handles[a.Handle], keys[a.Key()] = a.Key(), a.Handle
			}
		}
	})
}

// Whoever hears whom, and only in one direction at that, servers come to rest soon
// after conditions stay as they are. One whose alarms changed with every look would
// store them without end.
func TestServersComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "servers")
		states, hold := make([]State, n), make([][]Condition, n)
		heard := rapid.SliceOfN(rapid.Bool(), n*n, n*n)
		links, now := heard.Draw(t, "heard"), start
		step := func() bool {
			rest := true
			for i := range states {
				var others []Alarm
				for j := range states {
					if j != i && links[i*n+j] {
						others = append(others, states[j].Alarms...)
					}
				}
				next, _ := Update(states[i], now, hold[i], others)
				rest = rest && next.Last == states[i].Last && slices.Equal(next.Alarms, states[i].Alarms)
				states[i] = next
			}
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "pause"))
			return rest
		}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			i := rapid.IntRange(0, n-1).Draw(t, "server")
			hold[i] = nil
			for _, lim := range rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 0, 4, rapid.ID).Draw(t, "lims") {
				hold[i] = append(hold[i], down(lim))
			}
			step()
		}
		links = heard.Draw(t, "heard later")
		for range 40 {
			if step() {
				return
			}
		}
		t.Fatalf("no rest: %+v", states)
	})
}

// A handle of another server that is none, or beyond reach, is not taken over, and the
// next one does not follow it.
func TestHandlesThatAreNone(t *testing.T) {
	for _, handle := range []int{0, -1, maxHandle, maxHandle + 1} {
		theirs := Alarm{Handle: handle, Name: LIMDown, LIM: 1, Server: "srv1", RaisedAt: start.Add(-time.Hour)}
		s, _ := Update(State{}, start, []Condition{down(1)}, []Alarm{theirs})
		if len(s.Alarms) != 1 || s.Alarms[0].Handle != 1 || !s.Alarms[0].RaisedAt.Equal(start) {
			t.Errorf("beside %d: %+v", handle, s.Alarms)
		}
		// Neither where it was raised here before.
		s, _ = Update(State{}, start, []Condition{down(1)}, nil)
		s, _ = Update(s, start, []Condition{down(1)}, []Alarm{theirs})
		if s.Alarms[0].Handle != 1 || !s.Alarms[0].RaisedAt.Equal(start) {
			t.Errorf("raised, then beside %d: %+v", handle, s.Alarms)
		}
	}
	last := Alarm{Handle: maxHandle - 1, Name: LIMDown, LIM: 1, Server: "srv1", RaisedAt: start.Add(-time.Hour)}
	if s, _ := Update(State{}, start, []Condition{down(1)}, []Alarm{last}); s.Alarms[0].Handle != maxHandle-1 {
		t.Errorf("beside the last one: %+v", s.Alarms)
	}
}

// Of two that are the same in all that counts the first one stays, so that a list that
// comes again changes nothing.
func TestMergeKeepsTheFirst(t *testing.T) {
	a := Alarm{Handle: 1, Name: LIMDown, LIM: 1, RaisedAt: start, Text: "first"}
	b := a
	b.Text = "second"
	if got := Merge([]Alarm{a}, []Alarm{b}); len(got) != 1 || got[0].Text != "first" {
		t.Errorf("got %+v", got)
	}
}

// A text is cut where it would be too long, and as late as may be.
func TestCut(t *testing.T) {
	for _, tc := range []struct {
		text string
		want int // bytes
	}{
		{strings.Repeat("a", maxText-1), maxText - 1}, {strings.Repeat("a", maxText), maxText}, {strings.Repeat("a", maxText+1), maxText},
		{strings.Repeat("é", maxText/2), maxText}, {strings.Repeat("é", maxText/2+1), maxText - 1}, {strings.Repeat("電", maxText), maxText},
	} {
		got := cut(tc.text)
		if len(got) != tc.want || len(tc.text) <= maxText && got != tc.text || !utf8.ValidString(got) {
			t.Errorf("%d bytes became %d, want %d: %s", len(tc.text), len(got), tc.want, got)
		}
	}
}
