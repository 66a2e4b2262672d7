package alarms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// teller is a server that raises alarms and tells them, in a system of some.
type teller struct {
	name  string
	reach Reach
	state State
	live  bool
	hold  []Condition
	told  []string // such as "+1 lim-down 1"
}

// tellers are servers that hear each other unless they are down, or cut off.
type tellers struct {
	now time.Time
	all []*teller
	cut map[[2]string]bool
}

func newTellers(names ...string) *tellers {
	w := &tellers{now: start, cut: map[[2]string]bool{}}
	for _, n := range names {
		w.all = append(w.all, &teller{name: n, reach: People, live: true})
	}
	return w
}

func (w *tellers) of(name string) *teller {
	return w.all[slices.IndexFunc(w.all, func(x *teller) bool { return x.name == name })]
}

// second has every server that lives look once.
func (w *tellers) second() {
	w.now = w.now.Add(time.Second)
	for _, x := range w.all {
		if !x.live {
			continue
		}
		var others []Alarm
		var said []Word
		for _, o := range w.all {
			if o == x {
				continue
			}
			live := o.live && !w.cut[[2]string{o.name, x.name}]
			said = append(said, Word{Server: o.name, Live: live, Good: live, Reach: o.reach, Alarms: o.state.Alarms, Told: o.state.Ledger()})
			if live {
				others = append(others, o.state.Alarms...)
			}
		}
		x.state, _ = Update(x.state, w.now, x.hold, others)
		var changes []Change
		x.state, changes = Tell(x.state, w.now, Word{Server: x.name, Reach: x.reach}, said)
		for _, c := range changes {
			x.told = append(x.told, words([]Change{c}))
		}
	}
}

func (w *tellers) seconds(n int) {
	for range n {
		w.second()
	}
}

// all that was told, by whom.
func (w *tellers) heard() string {
	var out []string
	for _, x := range w.all {
		for _, s := range x.told {
			out = append(out, x.name+" "+s)
		}
	}
	return strings.Join(out, ", ")
}

func (w *tellers) want(t *testing.T, when, want string) {
	t.Helper()
	if got := w.heard(); got != want {
		t.Errorf("%s: told %q, want %q", when, got, want)
	}
}

func outOfOrder() []Condition {
	return []Condition{{Name: StandbyOutOfOrder, Severity: Warning, Server: "sb1", Text: "the standby is down"}}
}

// What two servers raise is told by one, and its end by the same one, whoever sees it end
// first.
func TestOneServerTells(t *testing.T) {
	w := newTellers("a", "b", "sb1")
	w.of("sb1").live = false
	w.of("b").hold = outOfOrder()
	w.second()
	w.of("a").hold = outOfOrder()
	w.seconds(60)
	w.want(t, "raised", "a +1 standby-out-of-order 0")
	w.of("sb1").live = true
	w.of("a").hold = nil
	w.seconds(8)
	w.want(t, "one of them raises it still", "a +1 standby-out-of-order 0")
	w.of("b").hold = nil
	w.seconds(60)
	w.want(t, "over", "a +1 standby-out-of-order 0, a -1 standby-out-of-order 0")
}

// Who has raised it tells, and before all one whose sinks reach people.
func TestWhoTells(t *testing.T) {
	full := []Condition{{Name: DiskFull, Severity: Warning, Server: "b", Text: "no room"}}
	w := newTellers("a", "b", "c")
	w.of("b").hold = full
	w.seconds(60)
	w.want(t, "all have sinks", "b +1 disk-full 0")

	w = newTellers("a", "b", "c")
	w.of("a").reach, w.of("b").reach = Nobody, Journal
	w.of("b").hold = full
	w.seconds(60)
	w.want(t, "one reaches people", "c +1 disk-full 0")

	w = newTellers("a", "b")
	w.of("a").reach, w.of("b").reach = Nobody, Nobody
	w.of("b").hold = full
	w.seconds(60)
	w.want(t, "nobody has sinks", "")
}

// What is over within a moment, expected or noticed is not told. That something is not redundant is.
func TestWhatIsNotTold(t *testing.T) {
	w := newTellers("a")
	a := w.of("a")
	a.hold = []Condition{down(1)}
	w.second()
	a.hold = nil
	w.seconds(8)
	expected := down(2)
	expected.Expected = true
	a.hold = []Condition{expected}
	w.seconds(8)
	w.want(t, "short and expected", "")
	a.hold = []Condition{down(3), {Name: NotRedundant, Severity: Warning, LIM: 3}}
	w.second()
	for _, x := range a.state.Alarms {
		a.state.Notices = append(a.state.Notices, NoticeOf(x, w.now, "root", ""))
	}
	a.hold[1].Expected = true
	w.seconds(8)
	w.want(t, "noticed", "a +4 not-redundant 3")
	a.state.Notices = nil
	w.seconds(8)
	a.state.Notices = []Notice{NoticeOf(a.state.Alarms[0], w.now, "root", "")}
	a.hold = nil
	w.seconds(8)
	w.want(t, "noticed when it was told", "a +4 not-redundant 3, a +3 lim-down 3, a -3 lim-down 3, a -4 not-redundant 3")
}

// Who was told of a warning is told when it becomes critical.
func TestGraverIsToldAgain(t *testing.T) {
	w := newTellers("a")
	c := down(1)
	c.Severity = Warning
	w.of("a").hold = []Condition{c}
	w.seconds(7)
	c.Severity = Critical
	w.of("a").hold = []Condition{c}
	w.seconds(7)
	c.Severity = Warning
	w.of("a").hold = []Condition{c}
	w.seconds(7)
	w.want(t, "graver, then less", "a +1 lim-down 1, a +1 lim-down 1")
}

// The end is told also when who told the beginning is dead; and not again when that one is
// back.
func TestTellerDies(t *testing.T) {
	w := newTellers("a", "b", "sb1")
	w.of("sb1").live = false
	w.of("a").hold, w.of("b").hold = outOfOrder(), outOfOrder()
	w.seconds(8)
	w.of("a").live = false
	w.seconds(15)
	w.of("sb1").live = true
	w.of("b").hold = nil
	w.seconds(8)
	const both = "a +1 standby-out-of-order 0, b -1 standby-out-of-order 0"
	w.want(t, "the teller is dead", both)
	w.of("b").hold = outOfOrder() // anew, while the first one's last word still has the former
	w.seconds(8)
	w.of("b").hold = nil
	w.seconds(7)
	w.of("a").hold, w.of("a").live = nil, true
	w.seconds(60)
	w.want(t, "it is back", both+", b +2 standby-out-of-order 0, b -2 standby-out-of-order 0")
}

// What only a dead server has raised is not known to be over.
func TestAlarmOfADeadServerIsNotOver(t *testing.T) {
	w := newTellers("a", "b")
	w.of("b").reach = Nobody
	w.of("b").hold = []Condition{{Name: DiskFull, Severity: Warning, Server: "b", Text: "no room"}}
	w.seconds(8)
	w.of("b").live = false
	w.seconds(60)
	w.of("b").live = true
	w.seconds(8)
	w.want(t, "dead and back", "a +1 disk-full 0")
	w.of("b").hold = nil
	w.seconds(8)
	w.want(t, "over", "a +1 disk-full 0, a -1 disk-full 0")
}

// An alarm that the server which should tell it does not hear of is told by the next one.
func TestTellerThatDoesNotHear(t *testing.T) {
	w := newTellers("a", "b", "c")
	w.of("c").reach = Journal
	w.of("c").hold = []Condition{{Name: DiskFull, Severity: Warning, Server: "c", Text: "no room"}}
	w.cut[[2]string{"c", "a"}] = true
	w.seconds(60)
	w.want(t, "a does not hear c", "b +1 disk-full 0")
}

// Ends are remembered for servers that are away, in a bounded number.
func TestEndsAreBounded(t *testing.T) {
	w := newTellers("a")
	for i := range 2 * maxEnded {
		w.of("a").hold = []Condition{down(i + 1)}
		w.seconds(7)
	}
	w.of("a").hold = nil
	w.seconds(2)
	if n := len(w.of("a").state.Told); n != maxEnded {
		t.Errorf("%d ends are kept", n)
	}
	for _, e := range w.of("a").state.Ledger() {
		if e.Text != "" || e.Ended.IsZero() || e.LIM <= maxEnded {
			t.Errorf("an end that travels: %+v", e)
		}
	}
	w.now = w.now.Add(endedKept)
	w.second()
	if n := len(w.of("a").state.Told); n != 0 {
		t.Errorf("%d ends are kept after a day", n)
	}
}

// However servers fail and alarms come and go, while all who live hear each other every
// alarm is told once when it begins and once when it ends.
func TestEveryAlarmIsToldOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "servers")]
		w := newTellers(names...)
		for _, x := range w.all {
			x.reach = rapid.SampledFrom([]Reach{Journal, People}).Draw(t, "reach")
		}
		some := rapid.SliceOfNDistinct(rapid.IntRange(1, 3), 0, 3, rapid.ID)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			x := rapid.SampledFrom(w.all).Draw(t, "server")
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				x.live = !x.live
			} else {
				x.hold = nil
				for _, n := range some.Draw(t, "lims") {
					x.hold = append(x.hold, Condition{Name: LIMDown, Severity: Warning, LIM: n, Text: "down"})
				}
			}
			w.seconds(rapid.SampledFrom([]int{3, 8, 20, 45}).Draw(t, "seconds"))
		}
		for _, x := range w.all {
			x.live = true
		}
		w.seconds(60)
		open := map[string]int{}
		for _, x := range w.all {
			for _, s := range x.told {
				sign, what := s[:1], s[1:]
				if sign == "+" {
					open[what]++
				} else {
					open[what]--
				}
				if x.live && (open[what] > len(w.all) || open[what] < -len(w.all)) {
					t.Fatalf("%s: told %s", what, w.heard())
				}
			}
		}
		raised := map[Key]bool{}
		for _, x := range w.all {
			for _, a := range x.state.Alarms {
				raised[a.Key()] = true
			}
		}
		lims := map[string]int{}
		for what, n := range open {
			if n != 0 {
				lims[what[strings.LastIndex(what, " ")+1:]] += n
			}
		}
		for n := 1; n <= 3; n++ {
			want := 0
			if raised[Key{LIMDown, n, ""}] {
				want = 1
			}
			if lims[fmt.Sprint(n)] != want {
				t.Fatalf("LIM %d: %d times open, want %d: %s", n, lims[fmt.Sprint(n)], want, w.heard())
			}
		}
	})
}
