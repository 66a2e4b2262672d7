package safepath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// theirs is a folder that another user may write to, and mine a file that is not theirs.
func theirs(t *testing.T) (dir, mine string) {
	t.Helper()
	dir, mine = filepath.Join(t.TempDir(), "theirs"), filepath.Join(t.TempDir(), "mine")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(dir, 0o777))
	must(t, os.WriteFile(mine, []byte("precious"), 0o600))
	return dir, mine
}

// Links in the place of files and folders lead nowhere.
func TestNoLinkIsFollowed(t *testing.T) {
	dir, mine := theirs(t)
	root := filepath.Dir(mine)
	file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
	plant := func() {
		for at, to := range map[string]string{file: mine, folder: root} {
			_ = os.Remove(at)
			must(t, os.Symlink(to, at))
		}
	}
	for name, do := range map[string]func() error{
		"open":          func() error { _, err := OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); return err },
		"read":          func() error { _, err := ReadFile(file); return err },
		"folder":        func() error { _, err := Folder(folder); return err },
		"read below":    func() error { _, err := ReadFile(folder + "/mine"); return err },
		"write below":   func() error { return ReplaceDurably(folder+"/mine", []byte("x"), 0o600) },
		"make below":    func() error { _, err := MkdirTemp(folder, "x"); return err },
		"make":          func() error { return Mkdir(folder, 0o700) },
		"make a file":   func() error { _, err := CreateTemp(folder, "x"); return err },
		"rename from":   func() error { return Rename(folder+"/mine", dir+"/got") },
		"rename to":     func() error { return Rename(dir+"/gift", folder+"/mine") },
		"remove below":  func() error { return Remove(folder + "/mine") },
		"remove all in": func() error { return RemoveAll(folder + "/mine") },
	} {
		plant()
		must(t, os.WriteFile(dir+"/gift", nil, 0o600))
		if err := do(); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plant()
	must(t, Replace(file, []byte("new"), 0o640)) // takes the link's place
	must(t, RemoveAll(folder))                   // of the link alone
	entries, err := os.ReadDir(root)
	must(t, err)
	if data, err := os.ReadFile(mine); err != nil || string(data) != "precious" || len(entries) != 1 {
		t.Errorf("%q, %v, %v", data, err, entries)
	}
	if data, err := ReadFile(file); err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
}

// Where nobody else may write, links are as good as folders.
func TestOwnLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/real", 0o755))
	must(t, os.Symlink("real", dir+"/link"))
	must(t, os.Symlink(dir+"/link", dir+"/further"))
	must(t, ReplaceDurably(dir+"/further/f", []byte("x"), 0o600))
	if data, err := os.ReadFile(dir + "/real/f"); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	must(t, os.Symlink("circle", dir+"/circle"))
	if _, err := Folder(dir + "/circle"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v", err)
	}
	// As in /tmp: who may write there cannot change what is root's.
	must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	if _, err := ReadFile(dir + "/link/f"); err != nil {
		t.Error(err)
	}
}

// A pipe holds nobody up, and a folder is no file.
func TestOnlyFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	must(t, os.Mkdir(dir+"/folder", 0o755))
	for _, name := range []string{"/pipe", "/folder"} {
		if _, err := ReadFile(dir + name); !errors.Is(err, errNoFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What has another one put in its place is told.
func TestMoveIsHeldAgainst(t *testing.T) {
	dir, _ := theirs(t)
	made, err := MkdirTemp(dir, ".part-")
	must(t, err)
	defer made.Close()
	must(t, os.Rename(made.Name(), dir+"/elsewhere"))
	must(t, os.Symlink("/etc", made.Name()))
	if err := Move(made, dir+"/to"); !errors.Is(err, ErrReplaced) {
		t.Errorf("%v", err)
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	if _, err := Sub(root, "to"); !errors.Is(err, ErrReplaced) {
		t.Errorf("a link: %v", err)
	}
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(dir+"/nobody", 0o700))
		must(t, os.Chown(dir+"/nobody", 65534, 65534))
		sub, err := Sub(root, "nobody")
		must(t, err)
		defer sub.Close()
		if Own(sub) || !Own(made) {
			t.Error("whose folder it is")
		}
	}
}

// Errors name the whole path, and read-only folders go, too.
func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.WriteFile(dir+"/a/b/f", nil, 0o400))
	must(t, os.Chmod(dir+"/a/b", 0o500))
	must(t, RemoveAll(dir+"/a"))
	must(t, RemoveAll(dir+"/a"))
	var path *fs.PathError
	if err := Remove(dir + "/a"); !errors.As(err, &path) || path.Path != dir+"/a" {
		t.Errorf("%v", err)
	}
}
