package agent

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"

	"golang.org/x/sys/unix"
)

// papers are documents that somebody broke, took away or edited by hand on one server.
// They heal by themselves.
type papers struct{}

func (papers) begin(s *simulation, rnd *rand.Rand, on string) {
	m := s.servers[on]
	if m.down {
		return
	}
	text, err := os.ReadFile(m.store.Path)
	if err != nil { // it is broken already
		text = []byte("kind: nothing\n")
	}
	var what string
	edited := text
	switch rnd.IntN(7) {
	case 0:
		what, edited = "has a wrong word", bytes.Replace(text, []byte("servers:"), []byte("server:"), 1)
	case 1:
		what, edited = "is cut short", text[:rnd.IntN(len(text)+1)]
	case 2:
		what = "is gone"
		err = os.Remove(m.store.Path)
	case 6:
		what, edited = "is of another system", bytes.Replace(text, []byte("system: "+s.doc.System), []byte("system: ANOTHER"), 1)
	case 3:
		what, edited = "is of an early revision", regexp.MustCompile(`revision: \d+`).ReplaceAll(text, []byte("revision: 1"))
	default:
		what = "has another priority"
		edited = regexp.MustCompile(`priority: \d+`).ReplaceAll(text, fmt.Appendf(nil, "priority: %d", 1+rnd.IntN(100)))
	}
	s.note("the document of %s %s, by hand", on, what)
	if what != "is gone" {
		err = os.WriteFile(m.store.Path, edited, 0o644)
	}
	if err != nil {
		s.note("by hand: %v", err)
	}
	m.tellEdited()
}

func (papers) end(*simulation, string) {}

// fullDisks are file systems that take nothing: of the state folder, of the cluster
// document, of the runtime folder.
type fullDisks struct{}

func (fullDisks) begin(s *simulation, rnd *rand.Rand, on string) {
	full := fmt.Errorf("full on purpose: %w", unix.ENOSPC)
	disk, store, memory := pick(rnd, full, full, nil), pick(rnd, full, nil, nil), pick(rnd, full, nil, nil)
	s.note("no room on %s: state folder %t, document %t, runtime folder %t", on, disk != nil, store != nil, memory != nil)
	s.trouble[on].set(func(x *trouble) { x.disk, x.store, x.memory = disk, store, memory })
}

func (fullDisks) end(s *simulation, on string) {
	s.note("%s has room again", on)
	s.trouble[on].set(func(x *trouble) { x.disk, x.store, x.memory = nil, nil, nil })
}

// failingChecks are checks that say that a server is unfit for every LIM.
type failingChecks struct{}

func (failingChecks) begin(s *simulation, _ *rand.Rand, on string) {
	s.note("the checks fail on %s", on)
	s.trouble[on].set(func(x *trouble) { x.unfit = "check /trunk: it is down" })
}

func (failingChecks) end(s *simulation, on string) {
	s.note("the checks pass on %s", on)
	s.trouble[on].set(func(x *trouble) { x.unfit = "" })
}
