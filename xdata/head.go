package xdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
)

// The head of a LIM's data on a server is the version that the LIM here was last started
// on, received or backed up to: what its next backup follows. It is never simply the
// newest one in the store.

func (s *Store) headPath(lim int) string {
	return filepath.Join(s.Dir, fmt.Sprintf(".head-%d.json", lim))
}

// head returns the head of a LIM; nil when there is none. Where it is not known, as in a
// copy of the versions alone, it is the one that all others lead to. The versions there
// are looked at then, unless they are given.
func (s *Store) head(lim int, versions []seen) (*lineage.Version, error) {
	if v, err := s.knownHead(lim); v != nil || err != nil {
		return v, err
	}
	if versions == nil {
		var err error
		if versions, err = s.list(lim, false); err != nil {
			return nil, err
		}
	}
	versions = slices.DeleteFunc(slices.Clone(versions), func(v seen) bool { return !v.line.Made })
	for i := range versions {
		if i > 0 && lineage.Compare(&versions[0].line, &versions[i].line) == lineage.Apart {
			return nil, nil
		}
	}
	if len(versions) == 0 {
		return nil, nil
	}
	return &versions[0].line, nil
}

// knownHead is head as far as it is written down.
func (s *Store) knownHead(lim int) (*lineage.Version, error) {
	var v lineage.Version
	ok, err := readJSON(s.headPath(lim), &v)
	if err != nil {
		return nil, fmt.Errorf("read which version the data of LIM %d follow: %w", lim, err)
	}
	if !ok || v.Valid() != nil || v.Node.IsZero() {
		return nil, nil
	}
	return &v, nil
}

// setHead makes a version the head, for good.
func (s *Store) setHead(lim int, v *lineage.Version) error {
	var was lineage.Version
	if ok, err := readJSON(s.headPath(lim), &was); err == nil && ok && sameVersion(&was, v) {
		return nil
	}
	if err := writeJSON(s.headPath(lim), v); err != nil {
		return fmt.Errorf("remember which version the data of LIM %d follow: %w", lim, err)
	}
	return nil
}

func sameVersion(a, b *lineage.Version) bool {
	return a.Node == b.Node && a.Time == b.Time && slices.Equal(a.Ancestors, b.Ancestors) && slices.Equal(a.Rejected, b.Rejected)
}

// Started notes that a LIM was started on a version here: its next backup follows that.
// fault.NotFound when the version is gone.
func (s *Store) Started(lim int, name string) error {
	v, err := s.see(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "", "LIM %d has no version %q here", lim, name)
	}
	if err != nil {
		return err
	}
	return s.setHead(lim, &v.line)
}

// pairState is what a server remembers of how the data of a LIM stand on both sides. Only
// who holds the LIM's lock writes it.
type pairState struct {
	// Whole is the version that both sides had when a sync last went well, and Local
	// what this side's looked like: of another program's, nothing else tells that its
	// content is still that.
	Whole *lineage.Version `json:"whole,omitempty"`
	Local localCopy        `json:"local,omitzero"`

	// Conflict is the last one that a sync found; nil: it is over, or there was none.
	Conflict *conflictState `json:"conflict,omitempty"`

	// Fits is the oldest version that fits the cluster document: what is older does not
	// (spec ch. 9).
	Fits *lineage.Version `json:"fits,omitempty"`

	// Given are the names that versions got here, the last ones; see names.
	Given []string `json:"given,omitempty"`
}

// conflictState is two versions of which neither follows the other.
type conflictState struct {
	At     time.Time       `json:"at"`
	Ours   lineage.Version `json:"ours"`
	Theirs lineage.Version `json:"theirs"`
}

// localCopy is what a version looked like.
type localCopy struct {
	Name  string `json:"name"`
	Mtime int64  `json:"mtime"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

func looksLike(v *Version) localCopy {
	return localCopy{Name: v.Name, Mtime: manifest.Nanoseconds(v.NewestMtime), Files: v.Files, Bytes: v.Bytes}
}

func (s *Store) pairPath(lim int) string {
	return filepath.Join(s.Dir, fmt.Sprintf(".pair-%d.json", lim))
}

// readPair returns what is remembered; nothing where there is nothing, or nothing that can
// be understood: then no version is known to be on the other side.
func (s *Store) readPair(lim int) (*pairState, error) {
	p := &pairState{}
	ok, err := readJSON(s.pairPath(lim), p)
	if err != nil {
		return nil, fmt.Errorf("read how the data of LIM %d stand on both sides: %w", lim, err)
	}
	if !ok {
		return &pairState{}, nil
	}
	return p, nil
}

func (s *Store) writePair(lim int, p *pairState) error {
	if err := writeJSON(s.pairPath(lim), p); err != nil {
		return fmt.Errorf("remember how the data of LIM %d stand on both sides: %w", lim, err)
	}
	return nil
}

// readJSON reads a file; ok is false where there is none that can be understood.
func readJSON(name string, v any) (ok bool, err error) {
	data, err := safepath.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && json.Unmarshal(data, v) == nil, err
}

// writeJSON replaces a file; it is on the disk when it returns.
func writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return safepath.ReplaceDurably(name, append(data, '\n'), 0o644)
}

// Standing is how the data of a LIM stand on this server.
type Standing struct {
	Versions []Version       // all there are, the newest first
	Newest   *Version        // the newest complete one; nil: there is none
	Line     lineage.Version // what it says of itself; its content as far as that is known without reading
	Conflict bool            // a sync found a conflict that is not over
}

// Standing tells how the data of a LIM stand here. It reads no data, and what is noted of
// its syncs is no reason not to name the newest version.
func (s *Store) Standing(lim int) (Standing, error) {
	versions, err := s.List(lim)
	st := Standing{Versions: versions}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Complete })
	if err != nil || i < 0 {
		return st, err
	}
	v := versions[i]
	st.Newest, st.Line = &v, v.line
	p, err := s.readPair(lim)
	if err != nil {
		s.warn(err)
		return st, nil
	}
	if p.Whole != nil && v.line.Node.Content == "" && p.Local == looksLike(&v) {
		st.Line.Node = p.Whole.Node
	}
	st.Conflict = p.Conflict != nil && lineage.Compare(&st.Line, &p.Conflict.Theirs) != lineage.Newer
	return st, nil
}
