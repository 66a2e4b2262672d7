package alarms

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNoticeOfAnAlarm(t *testing.T) {
	a := Alarm{Handle: 3, Name: LIMOnStandby, LIM: 1, Server: "sb1", Severity: Warning, RaisedAt: start}
	n := NoticeOf(a, start.Add(time.Minute), "root", "known")
	for what, x := range map[string]struct {
		alarm func(*Alarm)
		want  bool
	}{
		"as it was":                  {func(*Alarm) {}, true},
		"with other words":           {func(a *Alarm) { a.Text = "other" }, true},
		"graver":                     {func(a *Alarm) { a.Severity = Critical }, false},
		"raised anew":                {func(a *Alarm) { a.RaisedAt = start.Add(2 * time.Minute) }, false},
		"another with its handle":    {func(a *Alarm) { a.LIM = 2 }, false},
		"the same by another handle": {func(a *Alarm) { a.Handle = 4 }, false},
	} {
		b := a
		x.alarm(&b)
		if got := NoticeFor([]Notice{n}, b); (got != nil) != x.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	// One that was critical already may become less.
	a.Severity = Critical
	n = NoticeOf(a, start.Add(-time.Minute), "root", "by a clock that is behind")
	if a.Severity = Warning; NoticeFor([]Notice{n}, a) == nil {
		t.Error("a notice of a critical alarm does not cover a warning, or one of a server whose clock is behind counts for nothing")
	}
	if n := NoticeOf(a, start, "root", strings.Repeat("x", 2*maxComment)); len(n.Comment) != maxComment {
		t.Errorf("a comment of %d bytes", len(n.Comment))
	}
}

// Servers that exchange what they know come to the same notices, in whatever order they
// hear each other, and what is at rest stays so.
func TestNoticesAreTheSameEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raised []Alarm
		for i := range 5 {
			raised = append(raised, Alarm{Handle: i + 1, Name: LIMDown, LIM: i, Severity: Warning, RaisedAt: start})
		}
		some := rapid.Custom(func(t *rapid.T) Notice {
			n := NoticeOf(rapid.SampledFrom(raised).Draw(t, "alarm"), start.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))*time.Second),
				rapid.SampledFrom([]string{"a", "b"}).Draw(t, "by"), rapid.SampledFrom([]string{"", "x"}).Draw(t, "comment"))
			return n
		})
		lists := rapid.SliceOfN(rapid.SliceOfN(some, 0, 6), 1, 4).Draw(t, "servers")
		now := start.Add(time.Hour)
		want := MergeNotices(now, raised, lists...)
		if again := MergeNotices(now, raised, want, want); !reflect.DeepEqual(again, want) {
			t.Fatalf("%+v became %+v", want, again)
		}
		var got []Notice
		for _, i := range rapid.Permutation(indices(len(lists))).Draw(t, "order") {
			got = MergeNotices(now, raised, got, lists[i])
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("one after the other %+v, at once %+v", got, want)
		}
		for _, a := range raised {
			last := NoticeFor(slices.Concat(lists...), a)
			if merged := NoticeFor(want, a); (merged == nil) != (last == nil) || merged != nil && *merged != *last {
				t.Fatalf("alarm %d: %v, want %v", a.Handle, merged, last)
			}
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// What nobody needs goes, after a time in which servers that are away may come back.
func TestNoticesAreForgotten(t *testing.T) {
	a := Alarm{Handle: 1, Name: LIMDown, LIM: 1, Severity: Warning, RaisedAt: start}
	n := []Notice{NoticeOf(a, start, "root", "")}
	for what, x := range map[string]struct {
		now    time.Time
		raised []Alarm
		want   int
	}{
		"raised": {start.Add(10 * noticeKept), []Alarm{a}, 1}, "cleared lately": {start.Add(noticeKept - 1), nil, 1}, "cleared long ago": {start.Add(noticeKept), nil, 0},
	} {
		if got := MergeNotices(x.now, x.raised, n); len(got) != x.want {
			t.Errorf("%s: %+v", what, got)
		}
	}
	var many []Notice
	for i := range maxNotices + 5 {
		many = append(many, NoticeOf(Alarm{Handle: i + 1, Name: LIMDown}, start.Add(time.Duration(i)), "root", ""))
	}
	got := MergeNotices(start, nil, many)
	if len(got) != maxNotices || got[0].Handle != maxNotices+5 {
		t.Errorf("%d are kept, the first of alarm %d", len(got), got[0].Handle)
	}
	if got := MergeNotices(start, nil, []Notice{{Handle: 0, At: start}, {Handle: maxHandle, At: start}}); len(got) != 0 {
		t.Errorf("handles that are none: %+v", got)
	}
}
