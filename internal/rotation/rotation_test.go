package rotation

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"mxcluster/internal/settings"
)

// memory is a file of keys.
type memory struct {
	keys settings.Keys
	fail error
}

func (m *memory) Load() (settings.Keys, error) { return m.keys, nil }

func (m *memory) Replace(_, keys settings.Keys) error {
	if m.fail == nil {
		m.keys = keys
	}
	return m.fail
}

// system is some servers with their rings, which hear each other's claims at once.
type system struct {
	t     *testing.T
	now   time.Time
	names []string
	rings map[string]*Ring
	files map[string]*memory
	inUse map[string]settings.Keys
	told  []string
	dead  map[string]bool
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), names: []string{"a", "b", "c"},
		rings: map[string]*Ring{}, files: map[string]*memory{}, inUse: map[string]settings.Keys{}, dead: map[string]bool{}}
	first := settings.Keys{{Secret: make([]byte, 32)}}
	for _, name := range s.names {
		s.files[name] = &memory{keys: first}
		ring, err := New(Config{Server: name, File: s.files[name], Log: slog.New(slog.DiscardHandler),
			Use:    func(keys settings.Keys) error { s.inUse[name] = keys; return nil },
			Beside: func(work func() error, done func(error)) { done(work()) },
			Record: func(_ slog.Level, is, _ string) { s.told = append(s.told, name+" "+is) }})
		if err != nil {
			t.Fatal(err)
		}
		s.rings[name] = ring
	}
	return s
}

func (s *system) others(than string) map[string]Claim {
	out := map[string]Claim{}
	for _, name := range s.names {
		if name != than {
			out[name] = *s.rings[name].Claim()
		}
	}
	return out
}

// live lets every server that lives take its turn each half second.
func (s *system) live(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(500 * time.Millisecond) {
		for _, name := range s.names {
			if r := s.rings[name]; !s.dead[name] && Rotating(r.Keys()) {
				r.Turn(s.now, s.others(name))
				m, to := r.Spread(s.names, func(x string) bool { return !s.dead[x] }, s.others(name))
				for _, x := range to {
					s.rings[x].Heard(name, *m)
				}
			}
		}
	}
}

func (s *system) begin(on string) (fingerprint string) {
	s.t.Helper()
	s.rings[on].Begin(s.now, func(got string, err error) {
		if fingerprint = got; err != nil {
			s.t.Fatal(err)
		}
	})
	return fingerprint
}

// wantOne fails the test unless all have this key alone, in force and on disk.
func (s *system) wantOne(fingerprint string) {
	s.t.Helper()
	for _, name := range s.names {
		for where, keys := range map[string]settings.Keys{"ring": s.rings[name].Keys(), "file": s.files[name].keys, "pool": s.inUse[name]} {
			if got := keys.Fingerprints(); !slices.Equal(got, []string{fingerprint}) {
				s.t.Errorf("%s of %s has %v, want %s", where, name, got, fingerprint)
			}
		}
	}
}

func TestAllEndWithTheNewKey(t *testing.T) {
	s := newSystem(t)
	key := s.begin("b")
	s.live(10 * time.Second)
	s.wantOne(key)
}

func TestTwoRotationsEndInOne(t *testing.T) {
	s := newSystem(t)
	s.begin("a")
	s.now = s.now.Add(time.Second)
	later := s.begin("c")
	s.live(20 * time.Second)
	s.wantOne(later)
}

// A server that is dead holds a rotation up, and nobody stops accepting what it has.
func TestRotationWaitsForTheDead(t *testing.T) {
	s := newSystem(t)
	old := s.rings["c"].Keys()[0].Fingerprint()
	s.dead["c"] = true
	key := s.begin("a")
	s.live(time.Minute)
	for _, name := range []string{"a", "b"} {
		if c := s.rings[name].Claim(); c.Primary() != old || !c.Accepts(key) {
			t.Errorf("%s has %v", name, c.Accepted)
		}
	}
	s.dead["c"] = false
	s.live(10 * time.Second)
	s.wantOne(key)
}

// One that cannot keep a key says why, does not put it into force, and does so once it can.
func TestKeyThatCannotBeKept(t *testing.T) {
	s := newSystem(t)
	s.files["c"].fail = errors.New("no space left on device")
	key := s.begin("a")
	s.live(10 * time.Second)
	if c := s.rings["c"].Claim(); c.Failed == "" || c.Accepts(key) {
		t.Errorf("claims %+v", c)
	}
	if n := len(slices.DeleteFunc(slices.Clone(s.told), func(x string) bool { return x != "c failed" })); n != 1 {
		t.Errorf("told %d times that it failed", n)
	}
	s.files["c"].fail = nil
	s.live(10 * time.Second)
	s.wantOne(key)
}

// Keys that somebody edited on disk are taken, and none that cannot be one is.
func TestKeysFromElsewhere(t *testing.T) {
	s := newSystem(t)
	r := s.rings["a"]
	before := r.Keys()
	r.Heard("b", Message{Secret: make([]byte, 31), Made: s.now})
	r.Heard("b", Message{Secret: append(make([]byte, 31), 1)})
	if !r.Keys().Equal(before) {
		t.Errorf("accepts %v", r.Keys().Fingerprints())
	}
	edited := settings.Keys{{Secret: append(make([]byte, 31), 9), Made: s.now}}
	s.files["a"].keys = edited
	if err := r.Reload(); err != nil || !s.inUse["a"].Equal(edited) {
		t.Errorf("uses %v, %v", s.inUse["a"].Fingerprints(), err)
	}
}

// No more rotations are begun than keys can be accepted.
func TestRotationsAreBounded(t *testing.T) {
	s := newSystem(t)
	for range settings.MaxKeys - 1 {
		s.begin("a")
	}
	s.rings["a"].Begin(s.now, func(_ string, err error) {
		if err == nil {
			t.Error("one more was begun")
		}
	})
	if n := len(s.rings["a"].Keys()); n != settings.MaxKeys {
		t.Errorf("%d keys", n)
	}
}
