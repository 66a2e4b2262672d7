package settings

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The folders and what is in them become another user's, and root's again; data versions,
// and what links lead to, stay whose they are. A folder that is the user's is left alone.
func TestHandOver(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("root alone gives files away")
		}
		t.Skip("root alone gives files away")
	}
	const own, foreign = 4711, 1234
	dir := t.TempDir()
	d := Dirs{Config: filepath.Join(dir, "etc"), State: filepath.Join(dir, "var")}
	for _, folder := range []string{"etc/ssh", "var/history", "data/xdata_1_20260301020000", "var/xdata/xdata_1_20260301020000/sub"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"etc/gossip.key", "etc/ssh/config", "var/history/1.yaml", "var/xdata/.lock-1", "var/xdata/xdata_1_20260301020000/sub/file", "data/.lock-1", "outside"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "outside"), filepath.Join(dir, "etc/link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/sub", "/sub/file"} {
		if err := os.Chown(filepath.Join(dir, "var/xdata/xdata_1_20260301020000"+path), foreign, foreign); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(uid int) {
		t.Helper()
		for path, want := range map[string]int{
			"etc": uid, "etc/gossip.key": uid, "etc/ssh": uid, "etc/ssh/config": uid, "etc/link": uid,
			"var": uid, "var/history/1.yaml": uid, "var/xdata": uid, "var/xdata/.lock-1": uid,
			"var/xdata/xdata_1_20260301020000": foreign, "var/xdata/xdata_1_20260301020000/sub/file": foreign,
			"data": uid, "data/.lock-1": uid, "data/xdata_1_20260301020000": 0, "outside": 0,
		} {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, path), &st); err != nil || int(st.Uid) != want || int(st.Gid) != want {
				t.Errorf("%s is %d:%d's, want %d: %v", path, st.Uid, st.Gid, want, err)
			}
		}
	}
	give := func(uid int, xdata string, want bool) {
		t.Helper()
		if changed, err := d.HandOver(uid, uid, xdata); err != nil || changed != want {
			t.Fatalf("giving to %d: changed %t, %v", uid, changed, err)
		}
	}
	inside, apart := filepath.Join(d.State, "xdata"), filepath.Join(dir, "data")
	give(own, inside, true)
	give(own, apart, true)
	holds(own)
	if err := os.WriteFile(filepath.Join(d.State, "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	give(own, inside, false)
	if uid, _ := Owner(filepath.Join(d.State, "theirs")); uid != 0 {
		t.Errorf("what lies in the user's folder was given to it: %d", uid)
	}
	give(0, apart, true)
	holds(0)
}
