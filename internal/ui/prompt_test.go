package ui

import (
	"bytes"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

func TestAsk(t *testing.T) {
	for _, tc := range []struct {
		name, in, def string
		terminal      bool
		want, shown   string
		code          fault.Code
	}{
		{"answer", "eth1\n", "", true, "eth1", "Interface: ", fault.OK},
		{"blanks", "  eth1 \n", "", true, "eth1", "Interface: ", fault.OK},
		{"default", "\n", "eth0", true, "eth0", "Interface [eth0]: ", fault.OK},
		{"last line without end", "eth1", "", true, "eth1", "Interface: ", fault.OK},
		{"nothing said", "\n", "", true, "", "Interface: ", fault.Usage},
		{"closed", "", "", true, "", "Interface: ", fault.Usage},
		{"no terminal", "eth1\n", "eth0", false, "", "", fault.Usage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			p := Prompter{In: strings.NewReader(tc.in), Out: &out, Terminal: tc.terminal}
			got, err := p.Ask("interface", "Interface", tc.def)
			if got != tc.want || fault.CodeOf(err) != tc.code {
				t.Errorf("Ask = %q, %v; want %q, code %d", got, err, tc.want, tc.code)
			}
			if out.String() != tc.shown {
				t.Errorf("shown %q, want %q", out.String(), tc.shown)
			}
			if err != nil && !strings.Contains(err.Error(), "--interface") {
				t.Errorf("error %q does not name the flag", err)
			}
		})
	}
}

func TestAskTwice(t *testing.T) {
	// Both answers may arrive in one read: none may be lost in a buffer.
	p := Prompter{In: strings.NewReader("a\nb\n"), Out: &bytes.Buffer{}, Terminal: true}
	for _, want := range []string{"a", "b"} {
		if got, err := p.Ask("x", "X", ""); err != nil || got != want {
			t.Errorf("Ask = %q, %v; want %q", got, err, want)
		}
	}
}
