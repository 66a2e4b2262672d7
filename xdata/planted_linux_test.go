package xdata

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// planted is a store whose folder another user may write to, and a file of root's.
func planted(t *testing.T) (s *Store, mine string) {
	t.Helper()
	s = newStore(t)
	must(t, os.MkdirAll(s.Dir, 0o755))
	must(t, os.Chmod(s.Dir, 0o777))
	mine = filepath.Join(t.TempDir(), "mine")
	must(t, os.WriteFile(mine, []byte("precious"), 0o600))
	t.Cleanup(func() {
		if data, err := os.ReadFile(mine); err != nil || string(data) != "precious" {
			t.Errorf("%q, %v", data, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(mine)); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
	return s, mine
}

// Whatever a user plants in the folder of versions, nothing that a link leads to is written,
// and what cannot be done without is refused in a line.
func TestPlantedLinks(t *testing.T) {
	now := baseTime
	name := versionName(1, now)
	for _, tc := range []struct {
		at   string
		code fault.Code
	}{
		{".lock-1", fault.Refused}, {".head-1.json", fault.Failed}, {".pair-1.json", fault.Failed},
		{markPrefix + name + ".json", fault.OK}, {indexPrefix + name, fault.OK}, {name, fault.OK},
	} {
		s, mine := planted(t)
		s.Now = func() time.Time { return now }
		must(t, os.Symlink(mine, filepath.Join(s.Dir, tc.at)))
		from := t.TempDir()
		fileTree{"f": "1"}.write(t, from, baseTime)
		v, err := s.Backup(t.Context(), 1, from)
		if fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %v", tc.at, err)
		}
		if err != nil {
			continue
		}
		if f, err := s.Verify(t.Context(), newest(t, s), nil); err != nil || f.Result == Damaged || f.Name != v.Name {
			t.Errorf("%s: %+v, %v", tc.at, f, err)
		}
	}
}

// A folder of versions that is a link of another user's is not gone into.
func TestPlantedStore(t *testing.T) {
	s, mine := planted(t)
	must(t, os.Symlink(filepath.Dir(mine), filepath.Join(s.Dir, "xdata")))
	s.Dir = filepath.Join(s.Dir, "xdata")
	from := t.TempDir()
	fileTree{"f": "1"}.write(t, from, baseTime)
	_, err := s.Backup(t.Context(), 1, from)
	wantCode(t, err, fault.Refused, s.Dir)
}

// Nor is the link with which a folder beside the place of a restore is swapped.
func TestPlantedRestore(t *testing.T) {
	s := newStore(t)
	v := backUp(t, s, fileTree{"f": "1"}, baseTime)
	other, mine := planted(t)
	beside := filepath.Join(other.Dir, ".r"+partSuffix)
	must(t, os.Symlink(filepath.Dir(mine), beside))
	to := filepath.Join(other.Dir, "r")
	wantCode(t, s.Restore(t.Context(), v, to, nil), fault.Refused, "put another one in its place")
	must(t, os.Remove(beside))
	must(t, os.Mkdir(beside, 0o777))
	must(t, os.Chmod(beside, 0o777))
	wantCode(t, s.Restore(t.Context(), v, to, nil), fault.Refused, "another user's")
	must(t, os.Remove(beside))
	must(t, s.Restore(t.Context(), v, to, nil))
}
