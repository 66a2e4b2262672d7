package transfer

import (
	"encoding/base64"
	"strings"
	"testing"
)

// What does not shrink is left alone, and all else is tried.
func TestIsDense(t *testing.T) {
	random := noise(1, 4096)
	page := "" // of a database: numbers and keys in turn
	for i := 0; i < len(random); i += 32 {
		page += "0000000000047110"[:16] + random[i:i+16]
	}
	for _, tc := range []struct {
		name, chunk string
		want        bool
	}{
		{"noise", random, true},
		{"other noise", noise(2, 1024), true},
		{"a little noise", random[:100], true},
		{"too little to tell", random[:50], false},
		{"nothing", "", false},
		{"text", strings.Repeat("extension 4711 lim 1 active\n", 100), false},
		{"base64", base64.StdEncoding.EncodeToString([]byte(random)), false},
		{"zeros", strings.Repeat("\x00", 4096), false},
		{"a page", page, false},
		{"noise, then zeros", random[:2048] + strings.Repeat("\x00", 2048), false},
	} {
		if got := isIncompressible([]byte(tc.chunk)); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	for seed := range byte(200) {
		if !isIncompressible([]byte(noise(seed, 512))) {
			t.Errorf("noise of seed %d", seed)
		}
	}
}
