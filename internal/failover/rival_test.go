package failover

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRival(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	holds, free := &AliasAnswer{Holds: true, Term: 9}, &AliasAnswer{Term: 2, Free: time.Minute}
	tests := map[string]struct {
		r    Rival
		want RivalVerdict
	}{
		"just asked":                                {Rival{Yields: true, Now: at(1), Asked: at(0)}, RivalAwaited},
		"just asked, and said to hold before":       {Rival{Yields: true, Now: at(99), Asked: at(0), LastHolds: true, LastHeard: at(-1)}, RivalAwaited},
		"it holds":                                  {Rival{Yields: true, Now: at(1), Asked: at(0), Answer: holds}, RivalWins},
		"it holds, and gives way":                   {Rival{Now: at(1), Asked: at(0), Answer: holds}, RivalLoses},
		"it does not":                               {Rival{Yields: true, Now: at(1), Asked: at(0), Answer: free, LastHolds: true}, RivalDenies},
		"it does not, and would give way":           {Rival{Now: at(1), Asked: at(0), Answer: free}, RivalDenies},
		"no answer, it held":                        {Rival{Yields: true, Now: at(100), Asked: at(0), Began: at(-500), LastHolds: true, LastHeard: at(-10)}, RivalWins},
		"no answer, it held, and gives way":         {Rival{Now: at(100), Asked: at(0), Began: at(-500), LastHolds: true, LastHeard: at(-10)}, RivalLoses},
		"no answer, it did not hold":                {Rival{Yields: true, Now: at(100), Asked: at(0), Began: at(-500), LastHeard: at(-10)}, RivalMute},
		"no answer, not heard since before":         {Rival{Yields: true, Now: at(100), Asked: at(0), Began: at(-500), LastHeard: at(-600)}, RivalWins},
		"no answer, never heard":                    {Rival{Yields: true, Now: at(100), Asked: at(0), Began: at(-500)}, RivalWins},
		"no answer, never heard, it would give way": {Rival{Now: at(100), Asked: at(0), Began: at(-500)}, RivalLoses},
	}
	for name, tc := range tests {
		if got := tc.r.Judge(); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// Whatever is known: who is to stay never gives way, an answer decides at once, and
// without one nothing is decided before the patience is over, and something then.
func TestRivalAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) time.Time {
			return time.Unix(1000, 0).Add(time.Duration(rapid.IntRange(-300, 300).Draw(t, name)) * time.Millisecond)
		}
		r := Rival{Now: moment("now"), Asked: moment("asked"), Began: moment("began"), LastHeard: moment("heard"),
			Yields: rapid.Bool().Draw(t, "yields"), LastHolds: rapid.Bool().Draw(t, "last")}
		if rapid.Bool().Draw(t, "answered") {
			r.Answer = &AliasAnswer{Holds: rapid.Bool().Draw(t, "holds")}
		}
		v, waited := r.Judge(), r.Now.Sub(r.Asked) >= RivalPatience
		switch {
		case v == RivalWins && !r.Yields, v == RivalLoses && r.Yields:
			t.Fatalf("the wrong side gives way: %+v", r)
		case r.Answer != nil && (v == RivalDenies) == r.Answer.Holds:
			t.Fatalf("%s after the answer %+v", v, r.Answer)
		case r.Answer == nil && (v == RivalAwaited) == waited:
			t.Fatalf("%s, waited long enough: %t", v, waited)
		case r.Answer == nil && v == RivalDenies, v == RivalMute && (r.LastHolds || !r.LastHeard.After(r.Began)):
			t.Fatalf("%s by no word: %+v", v, r)
		}
	})
}

func TestDisowns(t *testing.T) {
	for _, tc := range []struct {
		w    AliasAnswer
		age  time.Duration
		want bool
	}{
		{AliasAnswer{Free: time.Minute}, time.Second, true},
		{AliasAnswer{Free: time.Minute, Holds: true}, time.Second, false},
		{AliasAnswer{Free: time.Second}, 0, false},
		{AliasAnswer{Free: 3 * time.Second}, 2 * time.Second, false},
		{AliasAnswer{Free: 3 * time.Second}, time.Second, true},
		{AliasAnswer{Free: 3*time.Second - 1}, time.Second, false},
		{AliasAnswer{Free: 3 * time.Second}, -time.Hour, true},
	} {
		if got := tc.w.Disowns(tc.age); got != tc.want {
			t.Errorf("%+v, a frame %s ago: %t", tc.w, tc.age, got)
		}
	}
}
