package bundle

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestScrubLeavesTheRest(t *testing.T) {
	s := NewScrubber([]byte("the secret\n"), []byte("abc"))
	for text, want := range map[string]string{
		"a the secret b":                               "a (left out) b",
		"dGhlIHNlY3JldA== of it":                       "(left out) of it",
		"74686520736563726574":                         "(left out)",
		"abc is too short to be known":                 "abc is too short to be known",
		"hash: sha256:" + hexes(64):                    "hash: sha256:" + hexes(64),
		"key " + hexes(64) + ".":                       "key (left out).",
		"http://10.0.0.1:2379/a@b":                     "http://10.0.0.1:2379/a@b",
		"https://u:p@10.0.0.1/x":                       "https://u:(left out)@10.0.0.1/x",
		"LIM 1 is running on srv1":                     "LIM 1 is running on srv1",
		"two " + hexes(64) + " " + hexes(64) + " keys": "two (left out) (left out) keys",
		"mac 02:00:00:00:00:01 on eth0":                "mac 02:00:00:00:00:01 on eth0",
		"-----BEGIN PRIVATE KEY-----\ncut off":         "(left out)",
	} {
		if got := string(s.Scrub([]byte(text))); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func hexes(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

// Of a file that is too long the end is kept, from the beginning of a line.
func TestPackKeepsTheEnd(t *testing.T) {
	line := []byte(strings.Repeat("x", 99) + "\n")
	data := append(bytes.Repeat(line, MaxFile/len(line)+10), "the end\n"...)
	kept := last(data)
	if len(kept) > MaxFile || !bytes.HasPrefix(kept, line) || !bytes.HasSuffix(kept, []byte("the end\n")) {
		t.Errorf("%d of %d bytes kept, from %.20q", len(kept), len(data), kept)
	}
	a, err := Pack("f", []File{{"a", []byte("b")}}, time.Unix(0, 0), NewScrubber())
	if err != nil || len(a) == 0 {
		t.Errorf("%d bytes, %v", len(a), err)
	}
}
