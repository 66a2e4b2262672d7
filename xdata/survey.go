package xdata

import (
	"cmp"
	"errors"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

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
		if t, err := lookAgainAt(root, kept); err == nil {
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
func lookAgainAt(root *os.Root, m *manifest) (totals, error) {
	t := totals{newestMtime: noMtime}
	top, err := entryOfRoot(root)
	if err != nil {
		return t, err
	}
	if n, err := countIn(root); err != nil || n != m.inTop() {
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

// entryOfRoot describes the folder itself.
func entryOfRoot(root *os.Root) (e entry, err error) {
	f, err := root.Open(".")
	if err != nil {
		return e, err
	}
	defer f.Close()
	return e, handle{fd: int(f.Fd()), name: "."}.stat(&e)
}
