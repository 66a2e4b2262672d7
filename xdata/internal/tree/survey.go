package tree

import (
	"cmp"
	"errors"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"mxcluster/xdata/internal/manifest"
)

// Totals is what one look over a version finds.
type Totals struct {
	Files       int
	Folders     int
	Bytes       int64
	Content     int64 // of bytes; the rest are holes
	NewestMtime int64 // of files; manifest.NoMtime without any
	NewestFile  string
	Changed     int64 // newest change of anything, by ctime, which no program can set
}

// add counts one file or folder.
func (t *Totals) add(e *manifest.Entry) {
	t.Changed = max(t.Changed, e.Ctime)
	if e.Dir {
		t.Folders++
		return
	}
	t.Files++
	t.Bytes += e.Size
	t.Content += e.Content()
	if t.NewestFile == "" || e.Attr.Mtime > t.NewestMtime {
		t.NewestMtime, t.NewestFile = e.Attr.Mtime, e.Path
	}
}

func (t *Totals) addAll(entries []manifest.Entry) {
	for i := range entries {
		t.add(&entries[i])
	}
}

// Survey looks over everything below root, and root itself. Entries are sorted by path.
func Survey(root *os.Root) (*manifest.Manifest, Totals, error) { return (&walker{}).survey(root) }

// SurveyLive is Survey of a folder that programs work in: what is gone before it was
// looked at is not part of it.
func SurveyLive(root *os.Root) (*manifest.Manifest, Totals, error) {
	return (&walker{live: true}).survey(root)
}

// SurveyTolerant is Survey that goes on where something cannot be looked at, and puts that
// into bad.
func SurveyTolerant(root *os.Root, bad *Problems) (*manifest.Manifest, Totals, error) {
	return (&walker{troubles: bad}).survey(root)
}

func (w *walker) survey(root *os.Root) (*manifest.Manifest, Totals, error) {
	t := Totals{NewestMtime: manifest.NoMtime}
	top, err := entryOfRoot(root)
	if err := w.troubles.Pass(".", false, err); err != nil {
		return nil, t, err
	}
	t.add(&top)
	m := &manifest.Manifest{Top: top.Attr}
	if m.Entries, err = w.walk(root); err != nil {
		return nil, t, err
	}
	t.addAll(m.Entries)
	m.Sort()
	return m, t, nil
}

// SurveyByIndex is Survey of a version that an index is kept of, nil if there is none. When
// nothing changed since, kept itself is returned, brought up to date.
func SurveyByIndex(root *os.Root, kept *manifest.Manifest) (*manifest.Manifest, Totals, error) {
	if kept != nil {
		if t, err := lookAgainAt(root, kept); err == nil {
			return kept, t, nil
		}
	}
	return Survey(root)
}

// errOther says that a version is not what was kept of it.
var errOther = errors.New("it is not as it was")

// lookAgainAt looks at what there was, and tells by an error when there is anything else
// now. A folder that got or lost an entry has another time of change, which no program
// can set, so that folders are neither listed nor sorted: all but the version's own, whose
// time is that of its renaming.
func lookAgainAt(root *os.Root, m *manifest.Manifest) (Totals, error) {
	t := Totals{NewestMtime: manifest.NoMtime}
	top, err := entryOfRoot(root)
	if err != nil {
		return t, err
	}
	if n, err := countIn(root); err != nil || n != m.InTop() {
		return t, cmp.Or(err, errOther)
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
func lookAgain(root *os.Root, entries []manifest.Entry) error {
	in := Opener{Root: root}
	defer in.Close()
	for i := range entries {
		e := &entries[i]
		now, err := in.stat(e.Path)
		if err != nil {
			return err
		}
		if now.Dir != e.Dir || !now.SameFile(e) {
			return errOther
		}
		now.Attr.Xattrs = e.Attr.Xattrs
		e.Attr, e.Kind, e.OnDisk = now.Attr, now.Kind, now.OnDisk // an owner may not have been given to it
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

// entryOfRoot describes the folder itself.
func entryOfRoot(root *os.Root) (e manifest.Entry, err error) {
	f, err := root.Open(".")
	if err != nil {
		return e, err
	}
	defer f.Close()
	return e, Handle{Fd: int(f.Fd()), Name: "."}.stat(&e)
}
