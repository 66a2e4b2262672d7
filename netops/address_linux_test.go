package netops

import "testing"

// The last two seconds are what the kernel times well.
func TestPreferredLifetime(t *testing.T) {
	for lifetime, want := range map[int]int{0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 10: 8, 3600: 3598} {
		if got := preferred(lifetime); got != want {
			t.Errorf("of %d s: %d, want %d", lifetime, got, want)
		}
	}
}
