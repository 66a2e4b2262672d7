package xdata

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		lim  int
		ok   bool
	}{
		{"xdata_1_20260301020000", 1, true},
		{"xdata_250_20260301020000", 250, true},
		{"xdata_0_20260301020000", 0, false},
		{"xdata_01_20260301020000", 0, false},
		{"xdata_1_20261301020000", 0, false},
		{"xdata_1_2026030102000", 0, false},
		{"xdata_1_20260301020000.tmp", 0, false},
		{"xdata_99999999999_20260301020000", 0, false},
		{".staging-1-123", 0, false},
		{"xdata_1_20260301020000/..", 0, false},
	} {
		lim, stamp, ok := parseName(tt.name)
		if ok != tt.ok || ok && (lim != tt.lim || versionName(lim, stamp) != tt.name) {
			t.Errorf("parseName(%q) = %d, %v, %v", tt.name, lim, stamp, ok)
		}
	}
}

func TestListAndNewest(t *testing.T) {
	s := newStore(t)
	if v, err := s.List(0); err != nil || v == nil || len(v) != 0 {
		t.Fatalf("store that does not exist: %v, %v", v, err)
	}
	one := fileTree{"f": "1"}
	foreign(t, s, "xdata_1_20260301020000", one, baseTime.Add(time.Nanosecond)) // newest by a nanosecond
	foreign(t, s, "xdata_1_20260303000000", one, baseTime)
	foreign(t, s, "xdata_1_20260302000000", one, baseTime)
	foreign(t, s, "xdata_2_20260304000000", one, baseTime.Add(time.Hour))
	foreign(t, s, "xdata_1_20260309000000", fileTree{"empty/": ""}, baseTime) // no data
	foreign(t, s, "other", one, baseTime)
	list, err := s.List(1)
	must(t, err)
	var names []string
	for _, v := range list {
		names = append(names, v.Name)
	}
	want := []string{"xdata_1_20260301020000", "xdata_1_20260303000000", "xdata_1_20260302000000", "xdata_1_20260309000000"}
	if !slices.Equal(names, want) {
		t.Errorf("order %q, want %q", names, want)
	}
	if last := list[len(list)-1]; last.Complete || last.Files != 0 {
		t.Errorf("a version without files is complete: %+v", last)
	}
	v, ok, err := s.Newest(1)
	if err != nil || !ok || v.Name != want[0] || !v.NewestMtime.Equal(baseTime.Add(time.Nanosecond)) {
		t.Errorf("newest %+v, %v, %v", v, ok, err)
	}
	if _, ok, err := s.Newest(3); ok || err != nil {
		t.Errorf("newest of a LIM without versions: %v, %v", ok, err)
	}
	if all, err := s.List(0); err != nil || len(all) != 5 || all[4].LIM != 2 {
		t.Errorf("all: %v, %v", all, err)
	}
}

func TestVersionJSON(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301020000", fileTree{"f": "12345"}, baseTime)
	list, err := s.List(0)
	must(t, err)
	data, err := json.Marshal(list[0])
	must(t, err)
	want := `"name":"xdata_1_20260301020000","path":"` + s.Dir + `/xdata_1_20260301020000","stamp":"2026-03-01T02:00:00Z",` +
		`"newestMtime":"2026-03-01T02:00:00.123456789Z","files":1,"bytes":5,"complete":true,"verified":null,"madeAt":null,"parent":null}`
	if got := string(data); got != `{"lim":1,`+want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A version of another program is complete once nothing changes in it, which
// the change time tells: a modification time can be set to anything.
func TestQuietPeriod(t *testing.T) {
	s := newStore(t)
	dir := foreign(t, s, "xdata_1_20260301020000", sample, baseTime)
	s.Still = 0 // the default
	var st unix.Stat_t
	must(t, unix.Stat(dir, &st))
	changed := time.Unix(st.Ctim.Unix())
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {DefaultStill - 100*time.Millisecond, false}, {DefaultStill + 100*time.Millisecond, true}} {
		s.Now = func() time.Time { return changed.Add(tt.after) }
		v, err := s.List(1)
		must(t, err)
		if v[0].Complete != tt.want {
			t.Errorf("complete %v after the last change: %v", tt.after, v[0].Complete)
		}
	}
}

func TestBackup(t *testing.T) {
	s := newStore(t)
	s.Still = time.Hour // our own versions need none
	from := t.TempDir()
	sample.write(t, from, baseTime)
	must(t, os.Chmod(filepath.Join(from, "db/dump.sql"), 0o751|os.ModeSetuid))
	must(t, os.Chmod(filepath.Join(from, "db"), 0o770|os.ModeSetgid|os.ModeSticky))
	must(t, os.Chmod(filepath.Join(from, "conf/deep"), 0o500))
	must(t, os.Chtimes(filepath.Join(from, "conf"), baseTime, baseTime.Add(-time.Hour)))
	_ = os.Chown(filepath.Join(from, "db/empty"), 123, 456) // where this user may, the owner is kept
	t.Cleanup(func() {
		must(t, removeTree(s.Dir)) // an ordinary user finds the read-only folder in the way
		must(t, removeTree(from))
	})
	s.Now = func() time.Time { return baseTime }
	for i := range 3 { // three in one second, with other content each
		must(t, os.WriteFile(filepath.Join(from, "latin1-\xe9.txt"), []byte{'c', 'a', byte(i)}, 0o640))
		must(t, os.Chtimes(filepath.Join(from, "latin1-\xe9.txt"), baseTime, baseTime))
		v, err := s.Backup(context.Background(), 7, from)
		must(t, err)
		if want := versionName(7, baseTime.Add(time.Duration(i)*time.Second)); v.Name != want || !v.Complete {
			t.Errorf("%+v, want %s", v, want)
		}
		if got, want := describe(t, v.Path), describe(t, from); got != want {
			t.Errorf("copied\n%s\nfrom\n%s", got, want)
		}
		if v.Files != 5 || v.Verified != nil || !v.NewestMtime.Equal(baseTime) {
			t.Errorf("%+v", v)
		}
	}
	info, err := os.Stat(filepath.Join(s.Dir, "xdata_7_20260301020000/db/dump.sql"))
	must(t, err)
	if info.Mode() != 0o751 {
		t.Errorf("mode %v: set-user-ID is not to be kept", info.Mode())
	}
	if info, err = os.Stat(filepath.Join(s.Dir, "xdata_7_20260301020000/db")); err != nil || info.Mode().Perm() != 0o770 ||
		info.Mode()&os.ModeSetgid == 0 || info.Mode()&os.ModeSticky == 0 {
		t.Errorf("mode of a shared folder %v, %v", info.Mode(), err)
	}
	if _, leftovers := visible(t, s); leftovers != nil {
		t.Errorf("leftovers %q", leftovers)
	}
}

func TestBackupRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, s *Store, from string) string
		code    fault.Code
		text    string
	}{
		{"missing", func(_ *testing.T, _ *Store, from string) string { return from + "/none" }, fault.NotFound, "no such folder"},
		{"empty", func(_ *testing.T, _ *Store, from string) string { return from }, fault.Refused, "no files"},
		{"link", func(t *testing.T, _ *Store, from string) string {
			must(t, os.Symlink("/etc/passwd", from+"/a"))
			sample.write(t, from, baseTime)
			return from
		}, fault.Refused, `"a" is a symbolic link`},
		{"fifo", func(t *testing.T, _ *Store, from string) string {
			sample.write(t, from, baseTime)
			must(t, unix.Mkfifo(from+"/pipe", 0o600))
			return from
		}, fault.Refused, `"pipe" is a special file`},
		{"contains the store", func(t *testing.T, s *Store, from string) string {
			sample.write(t, from, baseTime)
			s.Dir = from + "/var/xdata"
			return from
		}, fault.Refused, "versions themselves"},
		{"no room", func(t *testing.T, s *Store, from string) string {
			sample.write(t, from, baseTime)
			s.Space = func(string) (int64, int64, error) { return spaceMargin + 100, -1, nil }
			return from
		}, fault.Refused, "MiB free"},
		{"no inodes", func(t *testing.T, s *Store, from string) string {
			sample.write(t, from, baseTime)
			s.Space = func(string) (int64, int64, error) { return 1 << 40, filesMargin + 2, nil }
			return from
		}, fault.Refused, "more files"},
		{"locked", func(t *testing.T, s *Store, from string) string {
			sample.write(t, from, baseTime)
			release, err := s.lock(1, "sync with another server")
			must(t, err)
			t.Cleanup(release)
			return from
		}, fault.Busy, "in use by sync with another server (process "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			from := tt.prepare(t, s, t.TempDir())
			_, err := s.Backup(context.Background(), 1, from)
			wantCode(t, err, tt.code, tt.text)
			if tt.code != fault.Busy && fault.HintOf(err) == "" {
				t.Error("no remedy")
			}
			if versions, leftovers := visible(t, s); versions != nil || leftovers != nil {
				t.Errorf("left %q %q", versions, leftovers)
			}
		})
	}
}

func TestBackupCancelled(t *testing.T) {
	s, from := newStore(t), t.TempDir()
	sample.write(t, from, baseTime)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Backup(ctx, 1, from)
	wantCode(t, err, fault.Interrupted, "")
	if versions, leftovers := visible(t, s); versions != nil || leftovers != nil {
		t.Errorf("left %q %q", versions, leftovers)
	}
}

// A source that is replaced or written to between being looked at and being
// read must not become a version that never existed.
func TestChangedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, file string){
		"grown":  func(t *testing.T, file string) { must(t, os.WriteFile(file, []byte("more than before"), 0o600)) },
		"other":  func(t *testing.T, file string) { must(t, os.Remove(file)); must(t, os.WriteFile(file, nil, 0o600)) },
		"fifo":   func(t *testing.T, file string) { must(t, os.Remove(file)); must(t, unix.Mkfifo(file, 0o600)) },
		"symlnk": func(t *testing.T, file string) { must(t, os.Remove(file)); must(t, os.Symlink("/etc/passwd", file)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fileTree{"f": "before"}.write(t, dir, baseTime)
			root, err := os.OpenRoot(dir)
			must(t, err)
			defer root.Close()
			m, _, err := tree.Survey(root)
			must(t, err)
			change(t, filepath.Join(dir, "f"))
			from := &tree.Opener{Root: root}
			defer from.Close()
			if f, err := from.OpenEntry(&m.Entries[0]); err == nil {
				_ = f.Close()
				t.Error("opened what is not what was looked at")
			}
		})
	}
}

// What a crashed process left is cleared away by the next holder of the lock,
// and only what belongs to its LIM.
func TestCleanAfterCrash(t *testing.T) {
	s := newStore(t)
	v := foreign(t, s, "xdata_1_20260301020000", sample, baseTime)
	root, err := os.OpenRoot(v)
	must(t, err)
	defer root.Close()
	must(t, s.marks().put(root, "xdata_1_20260301020000", mark{}, &manifest.Manifest{}))
	must(t, s.marks().put(root, "xdata_1_20260302000000", mark{}, &manifest.Manifest{})) // of a version that never came
	must(t, s.marks().put(root, "xdata_11_20260302000000", mark{}, &manifest.Manifest{}))
	for _, left := range []string{".staging-1-42", ".staging-11-42"} {
		sample.write(t, filepath.Join(s.Dir, left), baseTime)
	}
	for left, age := range map[string]time.Duration{
		"..index-xdata_1_20260301020000-7":     2 * time.Hour,
		"..index-xdata_1_20260301020000-8":     time.Minute, // verify may be at it
		"..index-xdata_11_20260301020000-7":    2 * time.Hour,
		"..mark-xdata_1_20260301020000.json77": 2 * time.Hour,
	} {
		name := filepath.Join(s.Dir, left)
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Chtimes(name, time.Time{}, s.now().Add(-age)))
	}
	release, err := s.lock(1, "test")
	must(t, err)
	release()
	entries, err := os.ReadDir(s.Dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"..index-xdata_11_20260301020000-7", "..index-xdata_1_20260301020000-8",
		".lock-1", ".mark-xdata_11_20260302000000.json", ".mark-xdata_1_20260301020000.json",
		".staging-11-42", "xdata_1_20260301020000"}
	if !slices.Equal(names, want) {
		t.Errorf("left %q\nwant %q", names, want)
	}
}

// A mark speaks of one folder, not of another that came to have its name.
func TestMarkOfAnotherFolder(t *testing.T) {
	s := newStore(t)
	from := t.TempDir()
	sample.write(t, from, baseTime)
	v, err := s.Backup(context.Background(), 1, from)
	must(t, err)
	s.Still = time.Hour
	must(t, os.Rename(v.Path, v.Path+".away"))
	foreign(t, s, v.Name, sample, baseTime.Add(time.Minute))
	list, err := s.List(1)
	must(t, err)
	if len(list) != 1 || list[0].Complete {
		t.Errorf("taken for complete: %+v", list)
	}
	must(t, os.WriteFile(s.marks().path(v.Name), []byte("{torn"), 0o600))
	if _, err := s.List(1); err != nil {
		t.Errorf("unreadable mark: %v", err)
	}
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		keep int
		want string // days that stay
	}{{-1, "5"}, {0, "5"}, {1, "5"}, {2, "4 5"}, {3, "3 4 5"}, {9, "1 2 3 4 5"}} {
		s := newStore(t)
		for day := 1; day <= 5; day++ {
			at := time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC)
			foreign(t, s, versionName(1, at), fileTree{"f": "x"}, at)
		}
		foreign(t, s, "xdata_2_20200101000000", fileTree{"f": "x"}, baseTime)
		foreign(t, s, "xdata_1_20200101000000", fileTree{"not-yet/": ""}, baseTime)
		removed, err := s.Prune(1, tt.keep)
		must(t, err)
		list, err := s.List(1)
		must(t, err)
		var days []string
		for _, v := range list {
			if v.Complete {
				days = append(days, v.Stamp.Format("2"))
			}
		}
		slices.Sort(days)
		if got := strings.Join(days, " "); got != tt.want || len(removed)+len(days) != 5 {
			t.Errorf("keep %d: stayed %s, want %s; removed %d", tt.keep, got, tt.want, len(removed))
		}
		if all, _ := s.List(0); len(all) != len(days)+2 {
			t.Errorf("keep %d: removed what is not complete or another LIM's: %v", tt.keep, all)
		}
		if _, leftovers := visible(t, s); leftovers != nil {
			t.Errorf("leftovers %q", leftovers)
		}
	}
}
