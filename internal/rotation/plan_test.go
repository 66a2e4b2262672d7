package rotation

import (
	"testing"
	"time"

	"mxcluster/internal/settings"
)

func TestNextMade(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 500, time.UTC)
	first := settings.Keys{{Secret: make([]byte, 32)}}
	if got := nextMade(now, first); !got.Equal(now.Truncate(time.Second)) {
		t.Errorf("after the first key: %s", got)
	}
	ahead := settings.Keys{{Secret: make([]byte, 32), Made: now.Add(time.Hour)}}
	if got := nextMade(now, ahead); !got.After(ahead[0].Made) {
		t.Errorf("with the clock put back: %s is not after %s", got, ahead[0].Made)
	}
}

// A key is used once all accept it, and the former one goes once all have used the new one
// for a while; who was not heard holds up both.
func TestPlan(t *testing.T) {
	old := settings.Key{Secret: make([]byte, 32)}
	next := settings.Key{Secret: append(make([]byte, 31), 1), Made: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)}
	claim := func(keys ...settings.Key) Claim { return Claim{Accepted: settings.Keys(keys).Fingerprints()} }
	for _, tt := range []struct {
		what     string
		own      settings.Keys
		a, b     Claim
		used     time.Duration
		want     settings.Keys
		rotating bool
	}{
		{"one key", settings.Keys{old}, claim(old), claim(old), 0, settings.Keys{old}, false},
		{"new, known here alone", settings.Keys{old, next}, claim(old), claim(old), 0, settings.Keys{old, next}, true},
		{"one lacks it", settings.Keys{old, next}, claim(old, next), claim(old), 0, settings.Keys{old, next}, true},
		{"one was not heard", settings.Keys{old, next}, claim(old, next), Claim{}, 0, settings.Keys{old, next}, true},
		{"all accept it", settings.Keys{old, next}, claim(old, next), claim(next, old), 0, settings.Keys{next, old}, true},
		{"one does not use it", settings.Keys{next, old}, claim(next, old), claim(old, next), settleTime, settings.Keys{next, old}, true},
		{"all use it, just now", settings.Keys{next, old}, claim(next, old), claim(next, old), settleTime - 1, settings.Keys{next, old}, true},
		{"all have used it", settings.Keys{next, old}, claim(next, old), claim(next), settleTime, settings.Keys{next}, true},
	} {
		others := map[string]Claim{"a": tt.a, "b": tt.b}
		if got := plan(tt.own, others, tt.used); !got.Equal(tt.want) {
			t.Errorf("%s: holds %v next, want %v", tt.what, got.Fingerprints(), tt.want.Fingerprints())
		}
		if got := Rotating(tt.own); got != tt.rotating {
			t.Errorf("%s: rotating %v", tt.what, got)
		}
	}
}
