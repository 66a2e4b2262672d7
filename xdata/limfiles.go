package xdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
)

// limFiles are the state files of a LIM in a store: the head, and the pair state, which is what is
// known of both sides. They are written under the LIM's lock, except for the head that a start of
// the LIM sets.
type limFiles struct {
	dir string
	lim int
}

func (s *Store) files(lim int) limFiles { return limFiles{dir: s.Dir, lim: lim} }

func (f limFiles) headPath() string { return filepath.Join(f.dir, fmt.Sprintf(".head-%d.json", f.lim)) }

func (f limFiles) pairPath() string { return filepath.Join(f.dir, fmt.Sprintf(".pair-%d.json", f.lim)) }

// head returns the recorded head; nil: none.
func (f limFiles) head() (*lineage.Version, error) {
	var v lineage.Version
	ok, err := readJSON(f.headPath(), &v)
	if err != nil {
		return nil, fmt.Errorf("read which version the data of LIM %d follow: %w", f.lim, err)
	}
	if !ok || v.Valid() != nil || v.Node.IsZero() {
		return nil, nil
	}
	return &v, nil
}

// setHead records the head durably.
func (f limFiles) setHead(v *lineage.Version) error {
	var was lineage.Version
	if ok, err := readJSON(f.headPath(), &was); err == nil && ok && sameVersion(&was, v) {
		return nil
	}
	if err := writeJSON(f.headPath(), v); err != nil {
		return fmt.Errorf("remember which version the data of LIM %d follow: %w", f.lim, err)
	}
	return nil
}

// pair returns the pair state; an empty one where none is recorded, or where it cannot be decoded.
func (f limFiles) pair() (*pairState, error) {
	p := &pairState{}
	ok, err := readJSON(f.pairPath(), p)
	if err != nil {
		return nil, fmt.Errorf("read how the data of LIM %d stand on both sides: %w", f.lim, err)
	}
	if !ok {
		return &pairState{}, nil
	}
	return p, nil
}

func (f limFiles) setPair(p *pairState) error {
	if err := writeJSON(f.pairPath(), p); err != nil {
		return fmt.Errorf("remember how the data of LIM %d stand on both sides: %w", f.lim, err)
	}
	return nil
}

// give records that a name is used, before its version is visible.
func (f limFiles) give(name string) error {
	p, err := f.pair()
	if err != nil {
		return err
	}
	p.Given = append(p.Given, name)
	p.Given = p.Given[max(0, len(p.Given)-maxGivenNames):]
	return f.setPair(p)
}

// noteConflict records a conflict found at a time. Neither version is pruned while it lasts.
func (f limFiles) noteConflict(at time.Time, ours, theirs *lineage.Version) error {
	p, err := f.pair()
	if err != nil {
		return err
	}
	if c := p.Conflict; c != nil && sameVersion(&c.Ours, ours) && sameVersion(&c.Theirs, theirs) {
		return nil
	}
	p.Conflict = &conflictState{At: at, Ours: *ours, Theirs: *theirs}
	return f.setPair(p)
}

// readJSON reads a file; ok is false where there is none that can be decoded.
func readJSON(name string, v any) (ok bool, err error) {
	data, err := safepath.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && json.Unmarshal(data, v) == nil, err
}

// writeJSON replaces a file durably.
func writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return safepath.ReplaceDurably(name, append(data, '\n'), 0o644)
}
