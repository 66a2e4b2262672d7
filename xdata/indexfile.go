package xdata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/transfer"
	"mxcluster/xdata/internal/tree"
)

const indexPrefix = ".index-"

func (s *Store) indexPath(name string) string { return filepath.Join(s.Dir, indexPrefix+name) }

// writeIndex keeps the manifest of a version.
func (s *Store) writeIndex(name string, m *manifest.Manifest) error {
	return safepath.Replace(s.indexPath(name), manifest.EncodeIndex(m), 0o644)
}

// readIndex returns the manifest kept of a version that looks like now and has this mark, or
// none; nil when there is none that it can be held against. An index speaks of what its mark
// speaks of, or of a version that has one of its files at least.
func (s *Store) readIndex(name string, now *manifest.Manifest, own *mark) (*manifest.Manifest, error) {
	m, err := s.loadIndex(name)
	if m == nil || own == nil && !manifest.SharesFile(m, now) {
		return nil, err
	}
	return m, nil
}

// loadIndex reads the manifest kept of a version of that name; nil when there is none that
// can be read.
func (s *Store) loadIndex(name string) (*manifest.Manifest, error) {
	data, err := safepath.ReadFile(s.indexPath(name))
	if err != nil && !tree.IsOfFile(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	m, err := manifest.DecodeIndex(data)
	if err != nil {
		return nil, nil
	}
	return m, nil
}

// cleanIndexes removes the indexes of versions that are gone. The caller holds
// the LIM's lock.
func (s *Store) cleanIndexes(lim int) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), indexPrefix)
		if of, _, valid := parseName(name); !ok || !valid || of != lim {
			continue
		}
		if _, gone := os.Lstat(filepath.Join(s.Dir, name)); errors.Is(gone, fs.ErrNotExist) {
			s.warnLeft(safepath.Remove(filepath.Join(s.Dir, e.Name())))
		}
	}
	return nil
}

// findGuide makes a guide of the newest other version that an index is kept of; nil: there
// is none, or m has no file that is worth it. It need not be of any use: what is there is told
// by hashes.
func (s *Store) findGuide(lim int, name string, m *manifest.Manifest) *chunk.Guide {
	if !slices.ContainsFunc(m.Entries, func(e manifest.Entry) bool { return e.Size >= chunk.LargeFile }) {
		return nil
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil
	}
	newest := ""
	for _, e := range entries {
		other, ok := strings.CutPrefix(e.Name(), indexPrefix)
		if of, _, valid := parseName(other); ok && valid && of == lim && other != name {
			newest = max(newest, e.Name())
		}
	}
	if newest == "" {
		return nil
	}
	data, err := safepath.ReadFile(filepath.Join(s.Dir, newest))
	if err != nil {
		return nil // it was removed meanwhile
	}
	before, err := manifest.DecodeIndex(data)
	if err != nil {
		return nil
	}
	chunks := chunk.WithoutHoles(before.Chunks)
	if len(chunks) == 0 || len(chunks) > transfer.MaxHave {
		return nil
	}
	return chunk.NewGuide(chunks)
}
