package xdata

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// maxLooks is how often a version is looked at while files come and go in it.
const maxLooks = 3

// see looks a version over, by its index if that is wanted. What cannot be looked at makes
// it a damaged one. The error is fs.ErrNotExist for one that is gone, or says nothing of the
// version, such as that there are too many open files.
func (s *Store) see(name string, guided bool) (seen, error) {
	var x seen
	for range maxLooks {
		var bad tree.Problems
		var err error
		x, err = s.look(name, guided, &bad)
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
	x.changed, x.own = manifest.Nanoseconds(s.now()), false
	x.Complete, x.Damage = false, "" // another program is at work in it
	return x, nil
}

// look looks a version over once. What cannot be looked at is put into bad.
func (s *Store) look(name string, guided bool, bad *tree.Problems) (seen, error) {
	lim, stamp, _ := parseName(name)
	x := seen{Version: Version{LIM: lim, Name: name, Path: filepath.Join(s.Dir, name), Stamp: stamp}}
	info, err := os.Lstat(x.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x, err
	case err == nil && !info.IsDir():
		x.Damage, x.noFolder, x.NewestMtime = "it is "+kindOf(info.Mode())+", not a folder", true, stamp
		x.describe(nil, s.now())
		return x, nil
	}
	x.folder = info
	var root *os.Root
	if err == nil {
		root, err = safepath.Folder(x.Path)
	}
	if err != nil {
		return x, s.cannotLook(&x, nil, bad.Pass(".", false, err), bad)
	}
	defer root.Close()
	if guided {
		if x.kept, err = s.loadIndex(name); err != nil {
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
	if err := s.judge(root, &x, t); err != nil {
		return x, err
	}
	if len(bad.All) > 0 {
		return x, s.cannotLook(&x, tree.ReadRecord(root), nil, bad)
	}
	x.describe(tree.ReadRecord(root), s.now())
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
func (s *Store) cannotLook(x *seen, r *manifest.Record, err error, bad *tree.Problems) error {
	if err != nil {
		return err
	}
	kept, err := s.loadIndex(x.Name)
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
	x.describe(r, s.now())
	return nil
}

// judge tells whether a version can be relied on, by what is noted of it and how it looks.
func (s *Store) judge(root *os.Root, x *seen, t tree.Totals) error {
	own, err := s.readMark(root, x.Name, x.manifest)
	if err != nil {
		return err
	}
	made := own != nil && !own.Foreign
	if own != nil {
		x.Verified, x.Damage, x.Reason, x.from = own.Verified, own.Damage, own.Reason, own.From
	}
	if own != nil && own.changed {
		x.Verified = nil
		if made, err = s.stillMade(x, own); err != nil {
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
func (s *Store) stillMade(x *seen, own *mark) (bool, error) {
	if own.Foreign {
		return false, nil
	}
	kept, err := s.readIndex(x.Name, x.manifest, own)
	if kept == nil || err != nil {
		return false, err
	}
	if damage := manifest.CompareShapes(kept, x.manifest); len(damage) > 0 {
		x.Damage = cmp.Or(x.Damage, manifest.InShort(damage))
		x.NewestMtime = time.Unix(0, kept.NewestMtime()).UTC() // not that of what was added to it
	}
	return true, nil
}
