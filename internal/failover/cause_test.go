package failover

import "testing"

// What brought a LIM to where it is follows from the rule, from the word of the side that it
// left, and from what people want.
func TestArrival(t *testing.T) {
	w := Wishes{Order: Wish{"ann", "disk"}, Drain: Wish{"bob", "fan"}, Lock: Wish{"eve", "audit"}}
	for _, tt := range []struct {
		name string
		d    Decision
		left *Cause
		want Cause
	}{
		{"its server died", Decision{Rule: RuleTakeover, Reason: "srv1 is down"}, &Cause{What: ByOrder}, Cause{What: ByFailure, Reason: "srv1 was down"}},
		{"given up by order", Decision{Rule: RuleOrder}, &Cause{What: ByOrder, By: "ann"}, Cause{What: ByOrder, By: "ann"}},
		{"an agent ends", Decision{Rule: RuleOrder, Reason: "was given up by srv1, whose agent stops"}, nil, Cause{What: ByFailure, Reason: "was given up by srv1, whose agent stopped"}},
		{"said dead", Decision{Rule: RuleOrder, SaidDead: true, Reason: "srv1 is dead"}, nil, Cause{What: ByOrder, By: "ann", Reason: "disk"}},
		{"drained", Decision{Rule: RuleDrain}, nil, Cause{What: ByDrain, By: "bob", Reason: "fan"}},
		{"locked", Decision{Rule: RuleLock}, nil, Cause{What: ByOrder, By: "eve", Reason: "audit"}},
		{"first of all", Decision{Rule: RuleHome}, nil, Cause{What: ByStart}},
	} {
		tt.d.Want = Run
		if got := tt.d.Arrival(tt.left, w); *got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, *got, tt.want)
		}
	}
}

func TestLeaving(t *testing.T) {
	w := Wishes{Order: Wish{"ann", "disk"}, Drain: Wish{"bob", "fan"}, Lock: Wish{"eve", "audit"}}
	for _, tt := range []struct {
		name    string
		d       Decision
		standby bool
		want    *Cause
	}{
		{"by order", Decision{Want: Stop, Rule: RuleOrder}, false, &Cause{What: ByOrder, By: "ann", Reason: "disk"}},
		{"back by order", Decision{Want: Stop, Rule: RuleOrder}, true, &Cause{What: ByFallback, By: "ann", Reason: "disk"}},
		{"back by order, and stays loaded", Decision{Want: Preload, Rule: RuleOrder}, true, &Cause{What: ByFallback, By: "ann", Reason: "disk"}},
		{"back by itself", Decision{Want: Stop, Rule: RuleFallback}, true, &Cause{What: ByFallback}},
		{"drained", Decision{Want: Stop, Rule: RuleDrain}, false, &Cause{What: ByDrain, By: "bob", Reason: "fan"}},
		{"locked elsewhere", Decision{Want: Stop, Rule: RuleLock}, false, &Cause{What: ByOrder, By: "eve", Reason: "audit"}},
		{"unfit", Decision{Want: Stop, Rule: RuleUnfit, Reason: "srv1 is unfit"}, false, &Cause{What: ByFailure, Reason: "srv1 was unfit"}},
		{"displaced", Decision{Want: Stop, Rule: RulePriority, Reason: "makes room for LIM 2"}, true, &Cause{What: ByPriority, Reason: "made room for LIM 2"}},
		{"a split brain", Decision{Want: Stop, Rule: RuleSplitBrain}, true, nil},
		{"stays", Decision{Want: Run, Rule: RuleHome}, false, nil},
	} {
		switch got := tt.d.Leaving(tt.standby, w); {
		case (got == nil) != (tt.want == nil), got != nil && *got != *tt.want:
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
