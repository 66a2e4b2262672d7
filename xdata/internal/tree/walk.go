package tree

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// branch is the content of one folder: its entries, sorted by name, and a branch for each folder
// among them, in the same order.
type branch struct {
	entries []manifest.Entry
	inner   []*branch
}

// walkers is how many folders of a version are listed at once. The stat of every file is most of
// the work of a sync with nothing to do.
const walkers = 4

// walker lists a version. Names are bytes and need not be UTF-8, unlike those of io/fs. It does not
// follow symbolic links.
type walker struct {
	group errgroup.Group
	live  bool // files that vanish meanwhile are left out

	problems *Problems // collects what cannot be examined; nil: that is an error
}

// Walk returns everything below root, without root itself; a folder comes before its content.
func Walk(root *os.Root) ([]manifest.Entry, error) {
	var w walker
	return w.walk(root)
}

func (w *walker) walk(root *os.Root) ([]manifest.Entry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, w.problems.Pass(".", true, err)
	}
	w.group.SetLimit(min(runtime.GOMAXPROCS(0), walkers) - 1) // beside this one
	var top branch
	if err := cmp.Or(w.dir(f, "", &top), w.group.Wait()); err != nil {
		return nil, err
	}
	return top.appendTo(make([]manifest.Entry, 0, top.count())), nil
}

// dir lists one folder, and closes it. It uses names relative to the open folder, which cost one
// lookup at any depth.
func (w *walker) dir(dir *os.File, prefix string, b *branch) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err := w.problems.Pass(folderOf(prefix), true, err); err != nil {
		return err
	}
	if prefix == "" {
		names = withoutNotes(names)
	}
	slices.Sort(names)
	b.entries = make([]manifest.Entry, 0, len(names))
	paths := join(prefix, names)
	var st unix.Stat_t
	for _, name := range names {
		e := manifest.Entry{Path: paths[:len(prefix)+len(name)]}
		paths = paths[len(e.Path):]
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			err = &fs.PathError{Op: "stat", Path: e.Path, Err: err}
		} else if Describe(&e, &st); e.Dir {
			err = w.enter(dir, name, e.Path, b)
		}
		switch {
		case err == nil:
			b.entries = append(b.entries, e)
		case w.live && replaced(err):
		default:
			if err := w.problems.Pass(e.Path, false, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaced tells whether an error means that a file or folder is gone, or was replaced.
func replaced(err error) bool {
	for _, is := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.ENXIO} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// join returns the paths for names, as parts of one string, which saves allocations.
func join(prefix string, names []string) string {
	size := 0
	for _, name := range names {
		size += len(prefix) + len(name)
	}
	var b strings.Builder
	b.Grow(size)
	for _, name := range names {
		b.WriteString(prefix)
		b.WriteString(name)
	}
	return b.String()
}

// enter lists a subfolder, in a goroutine of its own if one more is allowed.
func (w *walker) enter(dir *os.File, name, path string, b *branch) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if err := w.problems.Pass(path, true, &fs.PathError{Op: "open", Path: path, Err: err}); err != nil {
			return err
		}
		b.inner = append(b.inner, &branch{})
		return nil
	}
	f, inner := os.NewFile(uintptr(fd), path), &branch{}
	b.inner = append(b.inner, inner)
	look := func() error { return w.dir(f, path+"/", inner) }
	if w.group.TryGo(look) {
		return nil
	}
	return look()
}

func (b *branch) count() int {
	n := len(b.entries)
	for _, inner := range b.inner {
		n += inner.count()
	}
	return n
}

func (b *branch) appendTo(all []manifest.Entry) []manifest.Entry {
	inner := b.inner
	for i := range b.entries {
		all = append(all, b.entries[i])
		if b.entries[i].Dir {
			all, inner = inner[0].appendTo(all), inner[1:]
		}
	}
	return all
}

// Describe fills in an entry from the kernel's data about a file.
func Describe(e *manifest.Entry, st *unix.Stat_t) {
	e.Kind = modeOf(st) & unix.S_IFMT
	e.Dir = e.Kind == unix.S_IFDIR
	e.Attr = manifest.Attributes{
		Mode: modeOf(st) & manifest.KeptMode(e.Dir), UID: st.Uid, GID: st.Gid,
		Mtime: manifest.Nanoseconds(time.Unix(st.Mtim.Unix())),
	}
	e.Ctime, e.Ino = manifest.Nanoseconds(time.Unix(st.Ctim.Unix())), st.Ino
	e.Size = 0
	e.OnDisk = 0
	if !e.Dir {
		e.Size, e.OnDisk = st.Size, st.Blocks*512
	}
}
