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

// Totals is the result of a survey of a version.
type Totals struct {
	Files       int
	Folders     int
	Bytes       int64
	Content     int64 // of Bytes, without holes
	NewestMtime int64 // of files; manifest.NoMtime without any
	NewestFile  string
	Changed     int64 // newest ctime of anything, which programs cannot set
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

// Survey lists everything below root, and root itself. Entries are sorted by path.
func Survey(root *os.Root) (*manifest.Manifest, Totals, error) { return (&walker{}).survey(root) }

// SurveyLive is Survey for a folder that programs write to: files that vanish meanwhile are left
// out.
func SurveyLive(root *os.Root) (*manifest.Manifest, Totals, error) {
	return (&walker{live: true}).survey(root)
}

// SurveyTolerant is Survey that goes on where something cannot be examined, and adds that to bad.
func SurveyTolerant(root *os.Root, bad *Problems) (*manifest.Manifest, Totals, error) {
	return (&walker{problems: bad}).survey(root)
}

func (w *walker) survey(root *os.Root) (*manifest.Manifest, Totals, error) {
	t := Totals{NewestMtime: manifest.NoMtime}
	top, err := entryOfRoot(root)
	if err := w.problems.Pass(".", false, err); err != nil {
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

// SurveyByIndex is Survey of a version with an index kept, which may be nil. If nothing changed
// since, it returns kept itself, with up-to-date identities.
func SurveyByIndex(root *os.Root, kept *manifest.Manifest) (*manifest.Manifest, Totals, error) {
	if kept != nil {
		if t, err := recheckTree(root, kept); err == nil {
			return kept, t, nil
		}
	}
	return Survey(root)
}

// errOther is the error for a version that differs from its index.
var errOther = errors.New("it is not as it was")

// recheckTree examines the entries of m, and returns an error if anything else is there now. Adding
// or removing an entry changes a folder's ctime, which programs cannot set; so folders are not
// listed. The top folder, whose ctime changes when it is renamed, is.
func recheckTree(root *os.Root, m *manifest.Manifest) (Totals, error) {
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
		all.Go(func() error { return recheck(root, part) })
	}
	if err := all.Wait(); err != nil {
		return t, err
	}
	m.Top = top.Attr
	t.add(&top)
	t.addAll(m.Entries)
	return t, nil
}

// recheck examines some entries of a version.
func recheck(root *os.Root, entries []manifest.Entry) error {
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
		e.Attr, e.Kind, e.OnDisk = now.Attr, now.Kind, now.OnDisk // the file system may not have kept its owner
	}
	return nil
}

// countIn returns the number of entries in a folder.
func countIn(root *os.Root) (int, error) {
	f, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return len(withoutNotes(names)), err
}

// entryOfRoot returns the entry of the folder itself.
func entryOfRoot(root *os.Root) (e manifest.Entry, err error) {
	f, err := root.Open(".")
	if err != nil {
		return e, err
	}
	defer f.Close()
	return e, Handle{Fd: int(f.Fd()), Name: "."}.stat(&e)
}
