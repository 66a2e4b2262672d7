package xdata

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// branch is what lies in one folder: the entries of the folder, by name, and a
// branch for each folder among them, in the same order.
type branch struct {
	entries []entry
	inner   []*branch
}

// walkers is how many folders of a version are looked at at once. It is a step into
// the kernel for each file, which is most of a sync with nothing to do.
const walkers = 4

// walker looks over a version. It works on bytes: names need not be UTF-8, as those
// of io/fs must. Links are not followed.
type walker struct {
	group errgroup.Group
	live  bool // what is gone before it was looked at is passed over

	troubles *troubles // what cannot be looked at is left out and put there; nil: it is an error
}

// walk returns everything below root but root itself, a folder before what is in it.
func walk(root *os.Root) ([]entry, error) {
	var w walker
	return w.walk(root)
}

func (w *walker) walk(root *os.Root) ([]entry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, w.troubles.pass(".", true, err)
	}
	w.group.SetLimit(min(runtime.GOMAXPROCS(0), walkers) - 1) // beside this one
	var top branch
	if err := first(w.dir(f, "", &top), w.group.Wait()); err != nil {
		return nil, err
	}
	return top.appendTo(make([]entry, 0, top.count())), nil
}

// dir looks at one folder, and closes it. It asks by names relative to the open
// folder, which takes one step however deep that lies.
func (w *walker) dir(dir *os.File, prefix string, b *branch) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err := w.troubles.pass(folderOf(prefix), true, err); err != nil {
		return err
	}
	if prefix == "" {
		names = withoutNotes(names)
	}
	slices.Sort(names)
	b.entries = make([]entry, 0, len(names))
	paths := join(prefix, names)
	var st unix.Stat_t
	for _, name := range names {
		e := entry{Path: paths[:len(prefix)+len(name)]}
		paths = paths[len(e.Path):]
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			err = &fs.PathError{Op: "stat", Path: e.Path, Err: err}
		} else if e.describe(&st); e.Dir {
			err = w.enter(dir, name, e.Path, b)
		}
		switch {
		case err == nil:
			b.entries = append(b.entries, e)
		case w.live && replaced(err):
		default:
			if err := w.troubles.pass(e.Path, false, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaced tells whether an error says that something else, or nothing, is where a file
// or folder was.
func replaced(err error) bool {
	for _, is := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.ENXIO} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// join returns the paths of names one after the other: one string in the place of
// thousands.
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

// enter looks at a folder in a folder, beside what goes on if one more may.
func (w *walker) enter(dir *os.File, name, path string, b *branch) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if err := w.troubles.pass(path, true, &fs.PathError{Op: "open", Path: path, Err: err}); err != nil {
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

func (b *branch) appendTo(all []entry) []entry {
	inner := b.inner
	for i := range b.entries {
		all = append(all, b.entries[i])
		if b.entries[i].Dir {
			all, inner = inner[0].appendTo(all), inner[1:]
		}
	}
	return all
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
	e.taken = 0
	if !e.Dir {
		e.Size, e.taken = st.Size, st.Blocks*512
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
	content     int64 // of bytes; the rest are holes
	newestMtime int64 // of files; noMtime without any
	newestFile  string
	changed     int64 // newest change of anything, by ctime, which no program can set
}

func (t *totals) volume() volume {
	return volume{bytes: t.bytes, content: t.content, files: t.files + t.folders}
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
	t.content += e.content()
	if t.newestFile == "" || e.Attr.Mtime > t.newestMtime {
		t.newestMtime, t.newestFile = e.Attr.Mtime, e.Path
	}
}

func (t *totals) addAll(entries []entry) {
	for i := range entries {
		t.add(&entries[i])
	}
}

// survey looks over everything below root, and root itself. Entries are sorted by path.
func survey(root *os.Root) (*manifest, totals, error) { return (&walker{}).survey(root) }

// surveyLive is survey of a folder that programs work in: what is gone before it was
// looked at is not part of it.
func surveyLive(root *os.Root) (*manifest, totals, error) { return (&walker{live: true}).survey(root) }

// surveyWith is survey that goes on where something cannot be looked at, and puts that
// into bad.
func surveyWith(root *os.Root, bad *troubles) (*manifest, totals, error) {
	return (&walker{troubles: bad}).survey(root)
}

func (w *walker) survey(root *os.Root) (*manifest, totals, error) {
	t := totals{newestMtime: noMtime}
	top, err := entryOfRoot(root)
	if err := w.troubles.pass(".", false, err); err != nil {
		return nil, t, err
	}
	t.add(&top)
	m := &manifest{Top: top.Attr}
	if m.Entries, err = w.walk(root); err != nil {
		return nil, t, err
	}
	t.addAll(m.Entries)
	m.sort()
	return m, t, nil
}

// surveyAs is survey of a version that an index is kept of, nil if there is none. When
// nothing changed since, kept itself is returned, brought up to date.
func surveyAs(root *os.Root, kept *manifest) (*manifest, totals, error) {
	if kept != nil {
		if t, err := kept.lookAgain(root); err == nil {
			return kept, t, nil
		}
	}
	return survey(root)
}

// errOther says that a version is not what was kept of it.
var errOther = errors.New("it is not as it was")

// lookAgain looks at what there was, and tells by an error when there is anything else
// now. A folder that got or lost an entry has another time of change, which no program
// can set, so that folders are neither listed nor sorted: all but the version's own, whose
// time is that of its renaming.
func (m *manifest) lookAgain(root *os.Root) (totals, error) {
	t := totals{newestMtime: noMtime}
	top, err := entryOfRoot(root)
	if err != nil {
		return t, err
	}
	if n, err := countIn(root); err != nil || n != m.inTop() {
		return t, first(err, errOther)
	}
	parts := min(runtime.GOMAXPROCS(0), walkers)
	var all errgroup.Group
	for part := range slices.Chunk(m.Entries, max(1, (len(m.Entries)+parts-1)/parts)) {
		all.Go(func() error { return lookAgain(root, part) })
	}
	if err := all.Wait(); err != nil {
		return t, err
	}
	m.Top = top.Attr
	t.add(&top)
	t.addAll(m.Entries)
	return t, nil
}

// lookAgain looks at some entries of a version.
func lookAgain(root *os.Root, entries []entry) error {
	in := folders{root: root}
	defer in.close()
	for i := range entries {
		e := &entries[i]
		now, err := in.stat(e.Path)
		if err != nil {
			return err
		}
		if now.Dir != e.Dir || !now.same(e) {
			return errOther
		}
		now.Attr.Extra = e.Attr.Extra
		e.Attr, e.kind, e.taken = now.Attr, now.kind, now.taken // an owner may not have been given to it
	}
	return nil
}

// countIn returns how many files and folders lie in a folder.
func countIn(root *os.Root) (int, error) {
	f, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return len(withoutNotes(names)), err
}

// inTop returns how many files and folders lie in the version's folder itself.
func (m *manifest) inTop() (n int) {
	for i := range m.Entries {
		if !strings.Contains(m.Entries[i].Path, "/") {
			n++
		}
	}
	return n
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
