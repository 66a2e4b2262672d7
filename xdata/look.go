package xdata

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// seen is a version, and what was seen of it.
type seen struct {
	Version
	folder   fs.FileInfo        // as it was found; nil: not at all
	manifest *manifest.Manifest // nil: nothing; kept: as it was, and all content known; else none is
	kept     *manifest.Manifest // its index; nil: none, or not read
	changed  int64              // when anything of it changed last; see manifest.Nanoseconds
	own      bool               // this program made it, or received it, or another says that it is complete
}

// maxLooks is how often a version is looked at while files come and go in it.
const maxLooks = 3

// looker looks the versions of a store over.
type looker struct {
	dir     string
	marks   marks
	indexes indexes
	now     func() time.Time
	still   time.Duration // see Store.Still
}

func (s *Store) looker() looker {
	return looker{dir: s.Dir, marks: s.marks(), indexes: s.indexes(), now: s.now, still: cmp.Or(s.Still, DefaultStill)}
}

// see looks a version over, by its index if that is wanted. What cannot be looked at makes
// it a damaged one. The error is fs.ErrNotExist for one that is gone, or says nothing of the
// version, such as that there are too many open files.
func (l looker) see(name string, guided bool) (seen, error) {
	var x seen
	for range maxLooks {
		var bad tree.Problems
		var err error
		x, err = l.look(name, guided, &bad)
		if err != nil || len(bad.All) == 0 {
			return x, err
		}
		if now, err := os.Lstat(x.Path); errors.Is(err, fs.ErrNotExist) || err == nil && x.folder != nil && !os.SameFile(x.folder, now) {
			return seen{}, fs.ErrNotExist // removed by another process while we looked
		}
		if !bad.Vanished() {
			return x, nil
		}
	}
	x.changed, x.own = manifest.Nanoseconds(l.now()), false
	x.Complete, x.Damage = false, "" // another program is at work in it
	return x, nil
}

// seeAll looks versions over, as many at once as there are processors: a look at
// every file of one takes the kernel most of the time of a sync with nothing to do. The
// one named guide is looked at by its index.
func (l looker) seeAll(names []string, guide string) ([]seen, error) {
	found := make([]*seen, len(names))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		all.Go(func() error {
			v, err := l.see(name, name == guide)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // pruned by another process while we looked
			case err != nil:
				return fmt.Errorf("list data versions: look at %s: %w", name, err)
			}
			found[i] = &v
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	var versions []seen
	for _, v := range found {
		if v != nil {
			versions = append(versions, *v)
		}
	}
	return versions, nil
}

// look looks a version over once. What cannot be looked at is put into bad.
func (l looker) look(name string, guided bool, bad *tree.Problems) (seen, error) {
	lim, stamp, _ := parseName(name)
	x := seen{Version: Version{LIM: lim, Name: name, Path: filepath.Join(l.dir, name), Stamp: stamp}}
	info, err := os.Lstat(x.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x, err
	case err == nil && !info.IsDir():
		x.Damage, x.noFolder, x.NewestMtime = "it is "+kindOf(info.Mode())+", not a folder", true, stamp
		x.describe(nil, l.now())
		return x, nil
	}
	x.folder = info
	var root *os.Root
	if err == nil {
		root, err = safepath.Folder(x.Path)
	}
	if err != nil {
		return x, l.cannotLook(&x, nil, bad.Pass(".", false, err), bad)
	}
	defer root.Close()
	if guided {
		if x.kept, err = l.indexes.load(name); err != nil {
			return x, err
		}
	}
	m, t, err := tree.SurveyByIndex(root, x.kept)
	if err != nil {
		m, t, err = tree.SurveyTolerant(root, bad)
	}
	if err != nil {
		return x, err
	}
	x.manifest, x.Files, x.Bytes, x.content = m, t.Files, t.Bytes, t.Content
	if t.Files > 0 {
		x.NewestMtime = time.Unix(0, t.NewestMtime).UTC()
	}
	x.newestFile = t.NewestFile
	if err := l.judge(root, &x, t); err != nil {
		return x, err
	}
	if len(bad.All) > 0 {
		return x, l.cannotLook(&x, tree.ReadRecord(root), nil, bad)
	}
	x.describe(tree.ReadRecord(root), l.now())
	x.foreign = x.foreign && x.record == nil
	return x, nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsRegular():
		return "a file"
	}
	return "a special file"
}

// cannotLook makes a version a damaged one, which is as new as what is known of it says.
func (l looker) cannotLook(x *seen, r *manifest.Record, err error, bad *tree.Problems) error {
	if err != nil {
		return err
	}
	kept, err := l.indexes.load(x.Name)
	if err != nil {
		return err
	}
	x.Complete, x.Damage, x.manifest, x.kept = false, manifest.InShort(bad.Words()), nil, nil
	if kept != nil && kept.NewestMtime() != manifest.NoMtime {
		x.NewestMtime = time.Unix(0, kept.NewestMtime()).UTC()
	}
	if x.NewestMtime.IsZero() {
		x.NewestMtime = x.Stamp
	}
	x.describe(r, l.now())
	return nil
}

// judge tells whether a version can be relied on, by what is noted of it and how it looks.
func (l looker) judge(root *os.Root, x *seen, t tree.Totals) error {
	own, err := l.marks.read(root, x.Name, x.manifest)
	if err != nil {
		return err
	}
	made := own != nil && !own.Foreign
	if own != nil {
		x.Verified, x.Damage, x.Reason, x.from = own.Verified, own.Damage, own.Reason, own.From
	}
	if own != nil && own.changed {
		x.Verified = nil
		if made, err = l.stillMade(x, own); err != nil {
			return err
		}
	}
	// A folder without files is no data: nothing could be restored from it.
	// Others are judged by how long they are still.
	x.changed, x.own, x.foreign = t.Changed, made || isMarked(root.Name()), !made
	x.Complete = x.Damage == "" && t.Files > 0 && x.own
	return nil
}

// stillMade holds a version that changed since it was made or received against its index.
// One without is as good as another program's.
func (l looker) stillMade(x *seen, own *mark) (bool, error) {
	if own.Foreign {
		return false, nil
	}
	kept, err := l.indexes.read(x.Name, x.manifest, own)
	if kept == nil || err != nil {
		return false, err
	}
	if damage := manifest.CompareShapes(kept, x.manifest); len(damage) > 0 {
		x.Damage = cmp.Or(x.Damage, manifest.InShort(damage))
		x.NewestMtime = time.Unix(0, kept.NewestMtime()).UTC() // not that of what was added to it
	}
	return true, nil
}
