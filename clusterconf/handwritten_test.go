package clusterconf

import "testing"

func TestKeptRevision(t *testing.T) {
	for _, test := range []struct {
		name     string
		revision uint64
		second   bool
		ok       bool
	}{
		{"00000001.yaml", 1, false, true},
		{"9007199254740991.yaml", 9007199254740991, false, true},
		{"00000042-0123456789ab.yaml", 42, true, true},
		{"0000001.yaml", 0, false, false},
		{"00000000000000001.yaml", 0, false, false},
		{"00000001.yml", 0, false, false},
		{"00000001", 0, false, false},
		{"+0000001.yaml", 0, false, false},
		{"0000000x.yaml", 0, false, false},
		{"00000042-.yaml", 0, false, false},
		{"00000042-0123456789a.yaml", 0, false, false},
		{"00000042-0123456789AB.yaml", 0, false, false},
		{".00000001.yaml123", 0, false, false},
	} {
		revision, second, ok := keptRevision(test.name)
		if ok != test.ok || ok && (revision != test.revision || second != test.second) {
			t.Errorf("%s: %d, %v, %v", test.name, revision, second, ok)
		}
	}
}

func TestSaidRevision(t *testing.T) {
	for text, want := range map[string]uint64{
		"revision: 7":                           7,
		"kind: x\r\nrevision:  8 \r\nsystem: y": 8,
		"revision: x\nrevision: 9\n":            9,
		"  revision: 7\n":                       0,
		"revision:7\n":                          0,
		"revision: 7 # seven\n":                 0,
		"revision: 9999999999999999\n":          0,
		"":                                      0,
	} {
		if got := saidRevision([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestLineStart(t *testing.T) {
	for line, want := range map[string]string{
		"":                 "",
		"kind: x":          "kind:",
		"  - - name: srv1": "  - - name:",
		"  -x":             "  ",
		"- 10.0.0.1: x":    "- ",
		": x":              "",
		"a b: c":           "",
	} {
		if got := line[:lineStart([]byte(line))]; got != want {
			t.Errorf("%q begins with %q, want %q", line, got, want)
		}
	}
}
