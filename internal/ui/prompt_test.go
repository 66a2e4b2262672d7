package ui

import (
	"bytes"
	"errors"
	"io"
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

// An answer that is wrong is told so at once, with the remedy, and asked for again.
func TestAskUntil(t *testing.T) {
	even := func(answer string) error {
		if len(answer)%2 == 0 {
			return nil
		}
		return fault.New(fault.Usage, "give an even one", "%q is odd", answer)
	}
	for _, tc := range []struct{ name, in, def, want, shown string }{
		{"right at once", "ab\n", "", "ab", "Word: "},
		{"default", "\n", "ab", "ab", "Word [ab]: "},
		{"wrong first", "a\nab\n", "", "ab", "Word: " + "  \"a\" is odd\n  give an even one\n" + "Word: "},
		{"wrong default", "\nab\n", "a", "ab", "Word [a]: " + "  \"a\" is odd\n  give an even one\n" + "Word [a]: "},
		{"last line without end", "ab", "", "ab", "Word: "},
		{"blank is no answer", " \nab\n", "", "ab", "Word:   an answer is needed here\nWord: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			p := Prompter{In: strings.NewReader(tc.in), Out: &out, Terminal: true}
			got, err := p.AskUntil("Word", tc.def, even)
			if err != nil || got != tc.want || out.String() != tc.shown {
				t.Errorf("AskUntil = %q, %v, shown %q; want %q, shown %q", got, err, out.String(), tc.want, tc.shown)
			}
		})
	}
}

func TestAskUntilTheInputEnds(t *testing.T) {
	for _, in := range []string{"", "a\n"} {
		p := Prompter{In: strings.NewReader(in), Out: &bytes.Buffer{}, Terminal: true}
		_, err := p.AskUntil("Word", "default", func(string) error { return errors.New("never right") })
		if !errors.Is(err, io.EOF) {
			t.Errorf("after %q: %v, want the end of the input", in, err)
		}
	}
}

// A question that waits for an answer must not outlive Ctrl-C.
func TestInterruptEndsAQuestion(t *testing.T) {
	silent, w := io.Pipe()
	defer w.Close()
	interrupt := make(chan struct{})
	close(interrupt)
	for name, ask := range map[string]func(*Prompter) (string, error){
		"Ask":      func(p *Prompter) (string, error) { return p.Ask("x", "X", "default") },
		"AskUntil": func(p *Prompter) (string, error) { return p.AskUntil("X", "", func(string) error { return nil }) },
	} {
		p := Prompter{In: silent, Out: &bytes.Buffer{}, Terminal: true, Interrupt: interrupt}
		if _, err := ask(&p); fault.CodeOf(err) != fault.Interrupted {
			t.Errorf("%s: %v, want it interrupted", name, err)
		}
	}
}
