package xdata

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// findGuide makes a guide of the newest other version that an index is kept of; nil: there
// is none, or no file that is worth it. It needs not be of any use: what is there is told
// by hashes.
func (s *snapshot) findGuide() *chunk.Guide {
	if !slices.ContainsFunc(s.manifest.Entries, func(e manifest.Entry) bool { return e.Size >= chunk.LargeFile }) {
		return nil
	}
	entries, err := os.ReadDir(s.store.Dir)
	if err != nil {
		return nil
	}
	newest := ""
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), indexPrefix)
		if lim, _, valid := parseName(name); ok && valid && lim == s.version.LIM && name != s.version.Name {
			newest = max(newest, e.Name())
		}
	}
	if newest == "" {
		return nil
	}
	data, err := safepath.ReadFile(filepath.Join(s.store.Dir, newest))
	if err != nil {
		return nil // it was removed meanwhile
	}
	m, err := manifest.DecodeIndex(data)
	if err != nil {
		return nil
	}
	chunks := chunk.WithoutHoles(m.Chunks)
	if len(chunks) == 0 || len(chunks) > maxHave {
		return nil
	}
	return chunk.NewGuide(chunks)
}
