package clusterconf

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRecent(t *testing.T) {
	s := threeRevisions(t)
	for _, name := range []string{"notes.txt", "00000002-0123456789ab.yaml", "00000002.yaml.swp"} {
		writeFile(t, filepath.Join(s.HistoryDir, name), "not ours")
	}
	history, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	changed := make(map[uint64]Change)
	for _, e := range history {
		if e.Problem == nil {
			changed[e.Revision] = e.Changed
		}
	}
	for limit, want := range map[int][]uint64{0: nil, 1: {2}, 2: {2, 1}, 9: {2, 1}} {
		got, err := s.Recent(limit)
		if err != nil {
			t.Fatal(err)
		}
		var revisions []uint64
		for _, e := range got {
			revisions = append(revisions, e.Revision)
			if e.Changed != changed[e.Revision] {
				t.Errorf("revision %d changed %+v, history says %+v", e.Revision, e.Changed, changed[e.Revision])
			}
		}
		if !slices.Equal(revisions, want) {
			t.Errorf("limit %d: %v, want %v", limit, revisions, want)
		}
	}
}

// A file that cannot be read is listed all the same: its name says which it is.
func TestRecentOfBrokenFiles(t *testing.T) {
	s := newStore(t)
	if got, err := s.Recent(5); err != nil || len(got) > 0 {
		t.Errorf("no history: %v, %v", got, err)
	}
	if err := os.MkdirAll(filepath.Join(s.HistoryDir, "00000009.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"00000008.yaml": "", "00000007.yaml": "\x00\xff", "00000006.yaml": "revision: 6\n", "00000005.yaml": "changed: 7\nservers:\n",
	} {
		writeFile(t, filepath.Join(s.HistoryDir, name), text)
	}
	got, err := s.Recent(5)
	if err != nil || len(got) != 4 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, e := range got {
		if e.Revision != uint64(8-i) || e.Changed != (Change{}) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
}
