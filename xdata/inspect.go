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

// observed is a version as it was found on the disk.
type observed struct {
	Version
	folder   fs.FileInfo        // its folder; nil: not examined
	manifest *manifest.Manifest // its files; nil: could not be listed. The same as kept where nothing changed, with all content known
	kept     *manifest.Manifest // its index; nil: none, or not read
	changed  int64              // time of the last change of anything in it; see manifest.Nanoseconds
	own      bool               // made or received by this program, or declared complete by another
}

// maxLooks is how often a version is examined again while files come and go in it.
const maxLooks = 3

// inspector examines the versions of a store.
type inspector struct {
	dir     string
	marks   marks
	indexes indexes
	now     func() time.Time
	still   time.Duration // see Store.Still
}

func (s *Store) inspector() inspector {
	return inspector{dir: s.Dir, marks: s.marks(), indexes: s.indexes(), now: s.now, still: cmp.Or(s.Still, DefaultStill)}
}

// inspect examines a version, by its index if guided. One that cannot be examined is returned as
// damaged. Errors: fs.ErrNotExist for one that is gone, and those that say nothing about the
// version, such as too many open files.
func (l inspector) inspect(name string, guided bool) (observed, error) {
	var x observed
	for range maxLooks {
		var bad tree.Problems
		var err error
		x, err = l.inspectOnce(name, guided, &bad)
		if err != nil || len(bad.All) == 0 {
			return x, err
		}
		if now, err := os.Lstat(x.Path); errors.Is(err, fs.ErrNotExist) || err == nil && x.folder != nil && !os.SameFile(x.folder, now) {
			return observed{}, fs.ErrNotExist // removed by another process meanwhile
		}
		if !bad.Vanished() {
			return x, nil
		}
	}
	x.changed, x.own = manifest.Nanoseconds(l.now()), false
	x.Complete, x.Damage = false, "" // another program is writing to it
	return x, nil
}

// inspectAll examines versions in parallel, as many as there are processors: stat of every file is
// most of the work of a sync with nothing to do. The version named guide is examined by its index.
func (l inspector) inspectAll(names []string, guide string) ([]observed, error) {
	found := make([]*observed, len(names))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		all.Go(func() error {
			v, err := l.inspect(name, name == guide)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // pruned by another process meanwhile
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
	var versions []observed
	for _, v := range found {
		if v != nil {
			versions = append(versions, *v)
		}
	}
	return versions, nil
}

// inspectOnce examines a version once. What cannot be examined is added to bad.
func (l inspector) inspectOnce(name string, guided bool, bad *tree.Problems) (observed, error) {
	lim, stamp, _ := parseName(name)
	x := observed{Version: Version{LIM: lim, Name: name, Path: filepath.Join(l.dir, name), Stamp: stamp}}
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
	if m != x.kept && ofAnother(x.kept, tree.ReadRecord(root)) {
		x.kept = nil
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

// cannotLook marks a version as damaged. Its time is that of its index, or else that of its name.
func (l inspector) cannotLook(x *observed, r *manifest.Record, err error, bad *tree.Problems) error {
	if err != nil {
		return err
	}
	kept, err := l.indexes.load(x.Name)
	if err != nil {
		return err
	}
	x.Complete, x.Damage, x.manifest, x.kept = false, manifest.InShort(bad.Words()), nil, nil
	if kept != nil && !ofAnother(kept, r) && kept.NewestMtime() != manifest.NoMtime {
		x.NewestMtime = time.Unix(0, kept.NewestMtime()).UTC()
	}
	if x.NewestMtime.IsZero() {
		x.NewestMtime = x.Stamp
	}
	x.describe(r, l.now())
	return nil
}

// judge decides whether a version can be relied on, by its mark and its files.
func (l inspector) judge(root *os.Root, x *observed, t tree.Totals) error {
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
		if made, err = l.stillMade(root, x, own); err != nil {
			return err
		}
	}
	// A version without files is never complete. Versions of other programs are judged later, by
	// their quiet period.
	x.changed, x.own, x.foreign = t.Changed, made || isMarked(root.Name()), !made
	x.Complete = x.Damage == "" && t.Files > 0 && x.own
	return nil
}

// stillMade compares a version that changed since it was made or received with its index. Without
// an index it counts as one of another program.
func (l inspector) stillMade(root *os.Root, x *observed, own *mark) (bool, error) {
	if own.Foreign {
		return false, nil
	}
	kept, err := l.indexes.read(root, x.Name, x.manifest, own)
	if kept == nil || err != nil {
		return false, err
	}
	if damage := manifest.CompareShapes(kept, x.manifest); len(damage) > 0 {
		x.Damage = cmp.Or(x.Damage, manifest.InShort(damage))
		x.NewestMtime = time.Unix(0, kept.NewestMtime()).UTC() // files added later do not make it newer
	}
	return true, nil
}
