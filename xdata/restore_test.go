package xdata

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

func TestRestore(t *testing.T) {
	s := newStore(t)
	v := backedUp(t, s, baseTime)
	dir := t.TempDir()
	for _, name := range []string{"absent", "empty"} {
		to := filepath.Join(dir, name)
		if name == "empty" {
			must(t, os.Mkdir(to, 0o700))
		}
		// What a killed restore left is in nobody's way.
		left := filepath.Join(dir, "."+name+partSuffix, "db")
		must(t, os.MkdirAll(left, 0o700))
		must(t, os.WriteFile(filepath.Join(left, "dump.sql"), []byte("half"), 0o600))
		must(t, s.Restore(t.Context(), v, to, nil))
		if describe(t, to) != describe(t, v.Path) {
			t.Errorf("%s: what was restored differs", name)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("left over: %v, %v", names, err)
	}
}

func TestRestoreRefusals(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, s *Store, v *Version, to string) string
		code    fault.Code
		says    string
	}{
		{"not empty", func(t *testing.T, _ *Store, _ *Version, to string) string {
			must(t, os.MkdirAll(filepath.Join(to, "x"), 0o755))
			return to
		}, fault.Refused, "is not empty"},
		{"a file", func(t *testing.T, _ *Store, _ *Version, to string) string {
			must(t, os.WriteFile(to, nil, 0o600))
			return to
		}, fault.Refused, "is no folder"},
		{"a link to an empty folder", func(t *testing.T, _ *Store, _ *Version, to string) string {
			must(t, os.Symlink(t.TempDir(), to))
			return to
		}, fault.Refused, "is no folder"},
		{"nowhere", func(_ *testing.T, _ *Store, _ *Version, to string) string { return filepath.Join(to, "deep") },
			fault.Refused, "there is no folder"},
		{"among the versions", func(_ *testing.T, s *Store, _ *Version, _ string) string {
			return filepath.Join(s.Dir, "xdata_1_20300101000000")
		}, fault.Refused, "belongs to the data versions"},
		{"rotten", func(t *testing.T, _ *Store, v *Version, to string) string {
			rot(t, filepath.Join(v.Path, "db/dump.sql"))
			return to
		}, fault.Conflict, `"db/dump.sql" does not match its hash`},
		{"known to be rotten", func(t *testing.T, s *Store, v *Version, to string) string {
			rot(t, filepath.Join(v.Path, "db/dump.sql"))
			verified(t, s, v.Name)
			var err error
			*v, err = s.Find(1, v.Name)
			must(t, err)
			return to
		}, fault.Conflict, "is damaged"},
		{"removed meanwhile", func(t *testing.T, _ *Store, v *Version, to string) string {
			must(t, os.RemoveAll(v.Path))
			return to
		}, fault.Busy, "removed meanwhile"},
		{"no room", func(_ *testing.T, s *Store, _ *Version, to string) string {
			s.Space = func(string) (int64, int64, error) { return spaceMargin, -1, nil }
			return to
		}, fault.Refused, "MiB free"},
		{"two at once", func(t *testing.T, _ *Store, _ *Version, to string) string {
			p, err := openRestoreDir(to)
			must(t, err)
			t.Cleanup(p.discard)
			return to
		}, fault.Busy, "another restore"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			v := backedUp(t, s, baseTime)
			dir := t.TempDir()
			to := tc.prepare(t, s, &v, filepath.Join(dir, "to"))
			before := describeAll(t, dir)
			err := s.Restore(t.Context(), v, to, nil)
			wantCode(t, err, tc.code, tc.says)
			if after := describeAll(t, dir); after != before {
				t.Errorf("left behind: %s, before: %s", after, before)
			}
		})
	}
}

// describeAll lists what is in a folder, whatever its kind.
func describeAll(t *testing.T, dir string) (list string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		list += name + " " + d.Type().String() + "\n"
		return err
	}))
	return list
}

// Where a file system is mounted nothing can be put in place at once.
func TestRestoreToMountPoint(t *testing.T) {
	s := newStore(t)
	v := backedUp(t, s, baseTime)
	to := filepath.Join(t.TempDir(), "mounted")
	must(t, os.Mkdir(to, 0o755))
	if err := unix.Mount("tmpfs", to, "tmpfs", 0, ""); err != nil {
		if os.Geteuid() == 0 && os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("mounting needs root: %v", err)
	}
	defer unix.Unmount(to, 0)
	wantCode(t, s.Restore(t.Context(), v, to, nil), fault.Refused, "mounted")
}

// A store that is not there yet has nothing to find, and takes a first backup.
func TestMissingStore(t *testing.T) {
	s := newStore(t)
	_, err := s.Find(1, "xdata_1_20260301020000")
	wantCode(t, err, fault.NotFound, "has no version")
	from := t.TempDir()
	sample.write(t, from, baseTime)
	must(t, s.MayBackup(from))
	if _, err := os.Stat(s.Dir); err == nil {
		t.Error("looking made the folder")
	}
	if over, err := s.Surplus(1, 1); err != nil || len(over) != 0 {
		t.Errorf("%v, %v", over, err)
	}
}

// A standby refuses what would leave no room for two more.
func TestSpare(t *testing.T) {
	s := newStore(t)
	from := t.TempDir()
	sample.write(t, from, baseTime)
	must(t, os.WriteFile(filepath.Join(from, "db.txt"), make([]byte, 10<<20), 0o600))
	must(t, os.Chtimes(filepath.Join(from, "db.txt"), baseTime, baseTime))
	s.Space = func(string) (int64, int64, error) { return spaceMargin + 15<<20, -1, nil }
	must(t, s.MayBackup(from))
	s.Spare = StandbySpare
	wantCode(t, s.MayBackup(from), fault.Refused, "a standby keeps room for 2 more versions of each LIM")
	s.Space = func(string) (int64, int64, error) { return spaceMargin + 25<<20, -1, nil }
	must(t, s.MayBackup(from))
}
