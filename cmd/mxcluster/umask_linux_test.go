package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Whatever the umask of who calls: nothing of the product is open to be written by
// others, folders that everybody has to enter can be entered, and what the document once
// said is for nobody else to read.
func TestModesWhateverTheUmask(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"000", "077"} {
		s := newSite(t, t.TempDir(), nil)
		if err := os.Remove(s.path("etc")); err != nil {
			t.Fatal(err)
		}
		data := s.path("data")
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(data, "f"), "subscribers\n")
		for _, line := range []string{
			"init --server srv1 --base 10.99.0.1/24 --interface lo --lim 1",
			"server add sb1 --base 10.99.0.9/24 --interface lo",
			"xdata backup --lim 1 --from " + data + " --no-sync --force",
		} {
			cmd := s.command(line)
			under := exec.Command("sh", append([]string{"-c", "umask " + umask + `; exec "$@"`, "sh"}, cmd.Args...)...)
			under.Env, under.Dir = cmd.Env, cmd.Dir
			if code, out := finish(t, under); code != 0 {
				t.Fatalf("umask %s: mxcluster %s: exit code %d\n%s", umask, line, code, out)
			}
		}
		err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && e.Type()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o022 != 0 {
				t.Errorf("umask %s: %s has mode %04o", umask, path, info.Mode().Perm())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{"etc": 0o755, "etc/cluster.yaml": 0o644, "etc/gossip.key": 0o600, "var": 0o755, "var/history": 0o700, "var/history/00000001.yaml": 0o600} {
			if info, err := os.Stat(s.path(name)); err != nil || info.Mode().Perm() != want {
				t.Errorf("umask %s: %s: %v, %v, want mode %04o", umask, name, info, err, want)
			}
		}
	}
}
