package trusted

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place makes a program in two folders and returns its path.
func place(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "b")
	must(t, os.MkdirAll(dir, 0o755))
	path := filepath.Join(dir, "program")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	return path
}

func TestWhatOthersMayChange(t *testing.T) {
	tests := []struct {
		name   string
		do     func(t *testing.T, path string) string // returns what is looked at
		root   bool                                   // needs root
		wanted string                                 // "": it is trusted
	}{
		{"as installed", func(_ *testing.T, p string) string { return p }, false, ""},
		{"missing", func(_ *testing.T, p string) string { return p + "-none" }, false, ""},
		{"open to all", func(t *testing.T, p string) string { must(t, os.Chmod(p, 0o777)); return p }, false, "program may be written by every user (mode 0777)"},
		{"a folder on the way", func(t *testing.T, p string) string {
			must(t, os.Chmod(filepath.Dir(filepath.Dir(p)), 0o777))
			return p
		}, false, "/a may be written by every user (mode 0777)"},
		{"missing in such a folder", func(t *testing.T, p string) string {
			must(t, os.Chmod(filepath.Dir(p), 0o777))
			return p + "-none"
		}, false, "/b may be written by every user (mode 0777)"},
		{"a sticky folder", func(t *testing.T, p string) string {
			must(t, os.Chmod(filepath.Dir(p), 0o777|os.ModeSticky))
			return p
		}, false, ""},
		{"a link", func(t *testing.T, p string) string {
			link := filepath.Join(t.TempDir(), "link")
			must(t, os.Symlink(p, link))
			return link
		}, false, ""},
		{"a link to what is open", func(t *testing.T, p string) string {
			must(t, os.Chmod(p, 0o777))
			link := filepath.Join(filepath.Dir(p), "link")
			must(t, os.Symlink("../b/./program", link))
			return link
		}, false, "program may be written by every user"},
		{"a link in an open folder", func(t *testing.T, p string) string {
			open := t.TempDir()
			must(t, os.Symlink(p, filepath.Join(open, "link")))
			must(t, os.Chmod(open, 0o777))
			return filepath.Join(open, "link")
		}, false, "may be written by every user"},
		{"a ring", func(t *testing.T, p string) string {
			link := filepath.Join(filepath.Dir(p), "link")
			must(t, os.Symlink("link", link))
			return link
		}, false, "too many symbolic links"},
		{"another's", func(t *testing.T, p string) string { must(t, os.Chown(p, 1234, 0)); return p }, true, "belongs to user 1234 (mode 0755)"},
		{"another's folder", func(t *testing.T, p string) string { must(t, os.Chown(filepath.Dir(p), 1234, 0)); return p }, true, "/b belongs to user 1234"},
		{"another's link in a sticky folder", func(t *testing.T, p string) string {
			open := t.TempDir()
			link := filepath.Join(open, "link")
			must(t, os.Symlink(p, link))
			must(t, os.Lchown(link, 1234, 1234))
			must(t, os.Chmod(open, 0o777|os.ModeSticky))
			return link
		}, true, "link belongs to user 1234"},
		{"another group", func(t *testing.T, p string) string {
			must(t, os.Chown(p, 0, 1234))
			must(t, os.Chmod(p, 0o775))
			return p
		}, true, "may be written by group 1234 (mode 0775)"},
		{"root's group", func(t *testing.T, p string) string { must(t, os.Chmod(p, 0o775)); return p }, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				if os.Getenv("CI") == "true" {
					t.Fatal("this test must run as root")
				}
				t.Skip("giving files away needs root")
			}
			err := Path(tt.do(t, place(t)))
			if (err == nil) != (tt.wanted == "") || err != nil && !strings.Contains(err.Error(), tt.wanted) {
				t.Errorf("got %v, want %q", err, tt.wanted)
			}
			if err != nil && fault.HintOf(err) == "" {
				t.Error("no remedy is named")
			}
		})
	}
	if err := Path("here"); fault.CodeOf(err) != fault.Usage {
		t.Errorf("a path that is not full: %v", err)
	}
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		text   string
		mode   os.FileMode
		code   fault.Code
		wanted string
	}{
		{"s3cret\n", 0o600, fault.OK, "s3cret"},
		{"a,b=c d", 0o400, fault.OK, "a,b=c d"},
		{"s3cret\n", 0o640, fault.NotPermitted, "mode 0640, others may read it"},
		{"s3cret\n", 0o602, fault.NotPermitted, "may be written by every user"},
		{"", 0o600, fault.Invalid, "does not hold one line"},
		{"two\nlines\n", 0o600, fault.Invalid, "does not hold one line"},
		{strings.Repeat("x", maxSecret+1), 0o600, fault.Invalid, "does not hold one line"},
	} {
		path := filepath.Join(dir, "value")
		must(t, os.WriteFile(path, []byte(tt.text), 0o600))
		must(t, os.Chmod(path, tt.mode))
		got, err := Secret(path)
		if err != nil {
			got = err.Error()
		}
		if fault.CodeOf(err) != tt.code || !strings.Contains(got, tt.wanted) {
			t.Errorf("%q, %04o: %q, %v", tt.text, tt.mode, got, err)
		}
		must(t, os.Remove(path))
	}
	if _, err := Secret(filepath.Join(dir, "none")); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("missing: %v", err)
	}
	if _, err := Secret(dir); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a folder: %v", err)
	}
}
