package main

import (
	"os"

	"golang.org/x/term"

	"mxcluster/commands"
	"mxcluster/internal/ui"
)

// screen is the terminal that this program was started on.
type screen struct {
	before *term.State // of the keyboard; nil: there is none, or it was not changed
	keys   chan ui.Key
}

// openScreen has the keyboard, where there is one, send each key at once, and none of them shown.
func openScreen() (commands.Screen, error) {
	s := &screen{}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return s, nil
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return nil, err
	}
	s.before, s.keys = before, make(chan ui.Key)
	go s.read()
	return s, nil
}

// read passes keys on; it ends with the program.
func (s *screen) read() {
	sent := make([]byte, 64)
	for {
		n, err := os.Stdin.Read(sent)
		if err != nil {
			s.keys <- ui.KeyBreak // the terminal is gone
			return
		}
		for _, k := range ui.Keys(sent[:n]) {
			s.keys <- k
		}
	}
}

// Size falls back on the size of old where the terminal does not tell.
func (s *screen) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

func (s *screen) Keys() <-chan ui.Key { return s.keys }

func (s *screen) Close() error {
	if s.before == nil {
		return nil
	}
	return term.Restore(int(os.Stdin.Fd()), s.before)
}
