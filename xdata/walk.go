package xdata

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"mxcluster/internal/fault"
)

// walk calls fn for everything below root but root itself, a folder before
// what is in it. It works on bytes: names need not be UTF-8, as those of io/fs
// must. Links are not followed.
func walk(root *os.Root, fn func(name string, info fs.FileInfo) error) error {
	return walkDir(root, ".", fn)
}

func walkDir(root *os.Root, dir string, fn func(string, fs.FileInfo) error) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if err := fn(name, info); err != nil {
			return err
		}
		if info.IsDir() {
			if err := walkDir(root, name, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkKind refuses what a version cannot hold: a link would point elsewhere
// on the other server, and a device or socket is no data.
func checkKind(name string, info fs.FileInfo) error {
	if info.Mode().IsRegular() || info.IsDir() {
		return nil
	}
	kind := "a special file"
	if info.Mode()&fs.ModeSymlink != 0 {
		kind = "a symbolic link"
	}
	return fault.New(fault.Refused, "keep files and folders only in what is backed up; remove it or copy what it points to",
		"%q is %s", name, kind)
}

// totals is what one look over a version finds.
type totals struct {
	files       int
	folders     int
	bytes       int64
	newestMtime time.Time // of files
	changed     time.Time // newest change of anything, by ctime, which no program can set
}

// add counts one file or folder.
func (t *totals) add(info fs.FileInfo) {
	st := info.Sys().(*syscall.Stat_t)
	if c := time.Unix(st.Ctim.Unix()).UTC(); c.After(t.changed) {
		t.changed = c
	}
	if info.IsDir() {
		t.folders++
		return
	}
	t.files++
	t.bytes += info.Size()
	if m := info.ModTime().UTC(); m.After(t.newestMtime) {
		t.newestMtime = m
	}
}

// measure looks over everything below root, and root itself.
func measure(root *os.Root) (totals, error) {
	var t totals
	info, err := root.Stat(".")
	if err != nil {
		return t, err
	}
	t.add(info)
	err = walk(root, func(_ string, info fs.FileInfo) error {
		t.add(info)
		return nil
	})
	return t, err
}
