//go:build linux

package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

func TestOpenFolder(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string) // what is there before
		code    fault.Code
	}{
		{"fresh", func(*testing.T, string) {}, fault.OK},
		{"left behind", leaveBehind, fault.OK},
		{"in use", func(t *testing.T, path string) {
			f, err := openFolder(path)
			must(t, err)
			t.Cleanup(func() { must(t, f.remove()) })
		}, fault.Busy},
		{"symbolic link", func(t *testing.T, path string) {
			must(t, os.Symlink(t.TempDir(), path))
		}, fault.Refused},
		{"file", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o600))
		}, fault.Refused},
		{"open to readers", func(t *testing.T, path string) {
			must(t, os.Mkdir(path, 0o700))
			must(t, os.Chmod(path, 0o755))
		}, fault.OK},
		{"open to writers", func(t *testing.T, path string) {
			must(t, os.Mkdir(path, 0o700))
			must(t, os.Chmod(path, 0o775))
		}, fault.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(shortTempDir(t), "lab")
			c.prepare(t, path)
			f, err := openFolder(path)
			if fault.CodeOf(err) != c.code || (fault.HintOf(err) == "") != (c.code == fault.OK) {
				t.Fatalf("open: %v, hint %q; want code %d", err, fault.HintOf(err), c.code)
			}
			if err != nil {
				return
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder %v, %v; want it private", info, err)
			}
			entries, err := os.ReadDir(path)
			if err != nil || len(entries) != 0 {
				t.Errorf("folder holds %v, %v; want nothing", entries, err)
			}
			must(t, f.remove())
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after remove: %v, want it gone", err)
			}
		})
	}
}

func TestOpenFolderRefusesLongPath(t *testing.T) {
	_, err := openFolder("/" + strings.Repeat("x", longestSocket-len(deepestSocket)))
	if fault.CodeOf(err) != fault.Refused || !strings.Contains(fault.HintOf(err), "TMPDIR") {
		t.Errorf("%v, hint %q; want it refused", err, fault.HintOf(err))
	}
}

// The owner may remove the folder between another's opening and locking it.
func TestClaimStaleFolder(t *testing.T) {
	path := filepath.Join(shortTempDir(t), "lab")
	owner, err := openFolder(path)
	must(t, err)
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	must(t, owner.remove())
	late := &folder{path: path, file: file}
	if err := late.claim(); err == nil {
		t.Error("a removed folder was claimed")
	}
	next, err := openFolder(path)
	must(t, err)
	if err := late.claim(); err == nil {
		t.Error("a removed folder was claimed, with another in its place")
	}
	must(t, next.remove())
}

// leaveBehind makes what a killed lab leaves.
func leaveBehind(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(path, "srv1", "run"), 0o700))
	must(t, os.WriteFile(filepath.Join(path, "srv1", "run", "agent.sock"), nil, 0o600))
	must(t, os.Symlink("/nowhere", filepath.Join(path, "bin")))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
