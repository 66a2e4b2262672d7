package xdata

import (
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// walk calls fn for everything below root but root itself, a folder before
// what is in it. It works on bytes: names need not be UTF-8, as those of io/fs
// must. Links are not followed. What fn gets is valid until it returns.
func walk(root *os.Root, fn func(e *entry) error) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return walkDir(f, "", fn)
}

// walkDir walks one folder, and closes it. It asks by names relative to the
// open folder, which takes one step however deep that lies.
func walkDir(dir *os.File, prefix string, fn func(*entry) error) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	var e entry // one for all, as thousands would be garbage
	var st unix.Stat_t
	for _, name := range names {
		e = entry{Path: prefix + name}
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: e.Path, Err: err}
		}
		e.describe(&st)
		inner, isDir := e.Path, e.Dir
		if err := fn(&e); err != nil {
			return err
		}
		if !isDir {
			continue
		}
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fs.PathError{Op: "open", Path: inner, Err: err}
		}
		if err := walkDir(os.NewFile(uintptr(fd), inner), inner+"/", fn); err != nil {
			return err
		}
	}
	return nil
}

// describe fills in what the kernel says of a file.
func (e *entry) describe(st *unix.Stat_t) {
	e.kind = modeOf(st) & unix.S_IFMT
	e.Dir = e.kind == unix.S_IFDIR
	e.Attr = attributes{
		Mode: modeOf(st) & keptMode(e.Dir), UID: st.Uid, GID: st.Gid,
		Mtime: nanoseconds(time.Unix(st.Mtim.Unix())),
	}
	e.Ctime, e.Ino = nanoseconds(time.Unix(st.Ctim.Unix())), st.Ino
	e.Size = 0
	if !e.Dir {
		e.Size = st.Size
	}
}

// checkKind refuses what a version cannot hold: a link would point elsewhere
// on the other server, and a device or socket is no data.
func (e *entry) checkKind() error {
	what := "a special file"
	switch e.kind {
	case unix.S_IFREG, unix.S_IFDIR:
		return nil
	case unix.S_IFLNK:
		what = "a symbolic link"
	}
	return fault.New(fault.Refused, "keep files and folders only in what is backed up; remove it or copy what it points to",
		"%q is %s", e.Path, what)
}

// totals is what one look over a version finds.
type totals struct {
	files       int
	folders     int
	bytes       int64
	newestMtime int64 // of files; noMtime without any
	changed     int64 // newest change of anything, by ctime, which no program can set
}

// add counts one file or folder.
func (t *totals) add(e *entry) {
	t.changed = max(t.changed, e.Ctime)
	if e.Dir {
		t.folders++
		return
	}
	t.files++
	t.bytes += e.Size
	t.newestMtime = max(t.newestMtime, e.Attr.Mtime)
}

// survey looks over everything below root, and root itself. Entries are sorted by path.
func survey(root *os.Root) (*manifest, totals, error) {
	t := totals{newestMtime: noMtime}
	top, err := entryOfRoot(root)
	if err != nil {
		return nil, t, err
	}
	t.add(&top)
	m := &manifest{Top: top.Attr}
	err = walk(root, func(e *entry) error {
		t.add(e)
		m.Entries = append(m.Entries, *e)
		return nil
	})
	m.sort()
	return m, t, err
}

// entryOfRoot describes the folder itself.
func entryOfRoot(root *os.Root) (e entry, err error) {
	f, err := root.Open(".")
	if err != nil {
		return e, err
	}
	defer f.Close()
	return e, handle{fd: int(f.Fd()), name: "."}.stat(&e)
}
