package xdata

import (
	"encoding/hex"
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

// indexes are the index files of a store's versions, each beside its version.
type indexes struct {
	dir  string
	warn warner
}

func (s *Store) indexes() indexes { return indexes{dir: s.Dir, warn: s.warn} }

func (is indexes) path(name string) string { return filepath.Join(is.dir, indexPrefix+name) }

// write stores the manifest of a version as its index. An empty folder in its place is replaced.
func (is indexes) write(name string, m *manifest.Manifest) error {
	path := is.path(name)
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		if err := safepath.Remove(path); err != nil { // unless something is in it
			return err
		}
	}
	return safepath.Replace(path, manifest.EncodeIndex(m), 0o644)
}

// read returns the index of the version in root that has the manifest now and the mark own; nil
// where there is none that describes it. An index with a mark belongs to the version that the mark
// belongs to; one without must share a file with now. Neither may contradict the version's record.
func (is indexes) read(root *os.Root, name string, now *manifest.Manifest, own *mark) (*manifest.Manifest, error) {
	m, err := is.load(name)
	if m == nil || own == nil && !manifest.SharesFile(m, now) || ofAnother(m, tree.ReadRecord(root)) {
		return nil, err
	}
	return m, nil
}

// ofAnother tells whether an index, which may be nil, is of another version than the one with the
// record r: as where an index was restored from elsewhere. Without a record it is not known.
func ofAnother(m *manifest.Manifest, r *manifest.Record) bool {
	return m != nil && r != nil && r.Made && r.Node.Content != hex.EncodeToString(m.Digest())
}

// load reads the index with a version's name, whatever it describes; nil where there is none that
// can be read.
func (is indexes) load(name string) (*manifest.Manifest, error) {
	data, err := safepath.ReadFile(is.path(name))
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

// remove removes the index of a version that is gone.
func (is indexes) remove(name string) error { return ignoreAbsent(safepath.Remove(is.path(name))) }

// clean removes the indexes of a LIM's versions that are gone. The caller holds the LIM's lock.
func (is indexes) clean(lim int) error {
	entries, err := os.ReadDir(is.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), indexPrefix); ok && isGone(is.dir, lim, name) {
			is.warn.left(safepath.Remove(filepath.Join(is.dir, e.Name())))
		}
	}
	return nil
}

// guide returns a guide made from the index of the newest other version; nil: there is none, or m
// has no file large enough. A guide only speeds reading up: chunks are always verified by their
// hashes.
func (is indexes) guide(lim int, name string, m *manifest.Manifest) *chunk.Guide {
	if !slices.ContainsFunc(m.Entries, func(e manifest.Entry) bool { return e.Size >= chunk.LargeFile }) {
		return nil
	}
	entries, err := os.ReadDir(is.dir)
	if err != nil {
		return nil
	}
	newest := ""
	for _, e := range entries {
		other, ok := strings.CutPrefix(e.Name(), indexPrefix)
		if of, _, valid := parseName(other); ok && valid && of == lim && other != name {
			newest = max(newest, other)
		}
	}
	before, err := is.load(newest)
	if err != nil || before == nil {
		return nil // removed meanwhile, or unreadable
	}
	chunks := chunk.WithoutHoles(before.Chunks)
	if len(chunks) == 0 || len(chunks) > transfer.MaxHave {
		return nil
	}
	return chunk.NewGuide(chunks)
}
