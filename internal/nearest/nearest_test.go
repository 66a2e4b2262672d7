package nearest

import "testing"

func TestTo(t *testing.T) {
	tests := []struct {
		name       string
		candidates []string
		want       string
	}{
		{"srv1", nil, ""},
		{"srv1", []string{"srv1"}, "srv1"},
		{"SRV1", []string{"srv2", "srv1"}, "srv1"},
		{"srv12", []string{"srv1", "srv2"}, "srv1"},
		{"vsr1", []string{"srv1"}, "srv1"},
		{"failoverafter", []string{"failover", "failoverAfter"}, "failoverAfter"},
		{"fallbck", []string{"failover", "fallback"}, "fallback"},
		{"standy", []string{"name", "standby"}, "standby"},
		{"x", []string{"a", "b"}, ""},
		{"completely", []string{"different"}, ""},
		{"", []string{"a"}, ""},
	}
	for _, test := range tests {
		if got := To(test.name, test.candidates); got != test.want {
			t.Errorf("%q among %v: %q, want %q", test.name, test.candidates, got, test.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1},
		{"abc", "abcd", 1}, {"abc", "xbc", 1}, {"ca", "abc", 3}, {"kitten", "sitting", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
