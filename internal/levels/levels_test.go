package levels

import (
	"slices"
	"testing"
)

func TestVersionThatTellsNoLevelsHasTheOldest(t *testing.T) {
	if got := Told("v1", Levels{}); got.Levels != Oldest() || got.Version != "v1" {
		t.Errorf("it counts as %+v", got)
	}
	if got := Told("v2", Known()); got.Levels != Known() {
		t.Errorf("it counts as %+v", got)
	}
}

func TestWhatIsBehind(t *testing.T) {
	low, high := Levels{Document: 1, Gossip: 3, Control: 1, Transfer: 7}, Levels{Document: 2, Gossip: 2, Control: 1, Transfer: 8}
	if got, want := low.Behind(high), []string{"document 1 of 2", "transfer 7 of 8"}; !slices.Equal(got, want) {
		t.Errorf("behind are %q, want %q", got, want)
	}
	if both := low.Highest(high); both != (Levels{Document: 2, Gossip: 3, Control: 1, Transfer: 8}) || len(both.Behind(low)) != 0 {
		t.Errorf("the highest are %s", both)
	}
	if got := Known().Behind(Oldest()); got != nil {
		t.Errorf("this version is behind the oldest: %q", got)
	}
}
