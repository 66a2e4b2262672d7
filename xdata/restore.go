package xdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// Find returns the version of a LIM with that name; fault.NotFound.
func (s *Store) Find(lim int, name string) (Version, error) {
	versions, err := s.List(lim)
	if err != nil {
		return Version{}, err
	}
	for _, v := range versions {
		if v.Name == name {
			return v, nil
		}
	}
	return Version{}, notHere(lim, name)
}

func notHere(lim int, name string) error {
	return fault.New(fault.NotFound, "'mxcluster xdata list' shows those there are", "LIM %d has no version %q here", lim, name)
}

// MayRestore checks whether a version could be restored to the folder to, and changes nothing: the
// version must be complete, to must be empty or absent and outside of the store, and there must be
// room. fault.Refused, fault.Conflict.
func (s *Store) MayRestore(v Version, to string) error {
	if v.Damage != "" {
		return damaged(v.Name, v.Damage)
	}
	if !v.Complete {
		return fault.New(fault.Busy, "wait until nothing writes to it and try again", "version %s is not complete", v.Name)
	}
	parent := filepath.Dir(to)
	if info, err := os.Stat(parent); err != nil {
		return missingFolder(err, parent)
	} else if !info.IsDir() {
		return fault.New(fault.Refused, "name a folder", "%s is not a folder", parent)
	}
	if err := s.outside(parent); err != nil {
		return err
	}
	if err := emptyOrAbsent(to); err != nil {
		return err
	}
	return s.Space.check(parent, volume{bytes: v.Bytes, content: v.content, files: v.Files}, 1)
}

func missingFolder(err error, dir string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Refused, "make it first: mkdir -p "+dir, "there is no folder %s", dir)
	}
	return err
}

// outside refuses the store's own folder: what lies in it is taken for a version.
func (s *Store) outside(parent string) error {
	within, err := inside(parent, s.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !within {
		return nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Refused, "restore to a folder elsewhere", "%s belongs to the data versions", parent)
}

// emptyOrAbsent refuses a folder with content, and anything that is no folder.
func emptyOrAbsent(to string) error {
	info, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fault.New(fault.Refused, "name a folder that is empty or does not exist", "%s is there and is no folder", to)
	}
	entries, err := os.ReadDir(to)
	if err == nil && len(entries) > 0 {
		err = fault.New(fault.Refused, "name a folder that is empty or does not exist; nothing is overwritten", "%s is not empty", to)
	}
	return err
}

// Restore copies a version to the folder to, all or nothing: it is assembled beside to, compared
// with the version's hashes, made durable and renamed. Errors are those of MayRestore;
// fault.Conflict for content that does not match, which is then recorded as damage; fault.Busy
// while another restore to the same folder runs.
func (s *Store) Restore(ctx context.Context, v Version, to string, copied func(n int64)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore version %s to %s: %w", v.Name, to, err)
		}
	}()
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	if err := s.MayRestore(v, to); err != nil {
		return err
	}
	from, err := safepath.Folder(v.Path)
	if err != nil {
		return removedMeanwhile(err)
	}
	defer from.Close()
	part, err := openRestoreDir(to)
	if err != nil {
		return err
	}
	defer part.discard()
	m, lost, err := tree.Copy(ctx, from, part.root, tree.Counter(copied))
	if err != nil {
		return noRoom(removedMeanwhile(err), filepath.Dir(to))
	}
	if err := s.checkHashes(from, v, m); err != nil {
		return err
	}
	if err := tree.MakeDurable(part.root); err != nil {
		return noRoom(err, filepath.Dir(to))
	}
	if err := part.commit(to); err != nil {
		return err
	}
	s.note(lost)
	return nil
}

// removedMeanwhile explains why a version, or a part of it, is missing.
func removedMeanwhile(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Busy, "try again with one of 'mxcluster xdata list'", "it was removed meanwhile")
	}
	return err
}

// checkHashes compares what was read of a version with the hashes kept of it.
func (s *Store) checkHashes(root *os.Root, v Version, now *manifest.Manifest) error {
	seen, _, err := tree.Survey(root)
	if err != nil {
		return err
	}
	own, err := s.marks().read(root, v.Name, seen)
	if err != nil {
		return err
	}
	kept, err := s.indexes().read(root, v.Name, seen, own)
	if err != nil {
		return err
	}
	m := nextMark(own)
	damage := manifest.CompareSums(kept, now, m.Foreign)
	if len(damage) == 0 {
		damage = tree.ContentMismatch(root, now.Digest())
	}
	if len(damage) == 0 {
		return nil
	}
	m.Verified, m.Damage = v.Verified, manifest.InShort(damage)
	s.marks().keep(root, v.Name, m, seen)
	return damaged(v.Name, m.Damage)
}

// restoreDir is the temporary folder of a restore, beside its target. The folder that both lie in
// may belong to another user, who can replace either.
type restoreDir struct {
	root *os.Root
	lock *os.File
}

const partSuffix = ".mxcluster-restore"

// openRestoreDir makes the temporary folder, and removes what a killed restore left in it.
func openRestoreDir(to string) (*restoreDir, error) {
	parent, err := safepath.Folder(filepath.Dir(to))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	name := "." + filepath.Base(to) + partSuffix
	made := parent.Mkdir(name, 0o700)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return nil, made
	}
	p := &restoreDir{}
	if p.root, err = safepath.Sub(parent, name); err != nil {
		return nil, inTheWay(err)
	}
	if made != nil && !safepath.Own(p.root) {
		err = fault.New(fault.Refused, "remove it, or restore to a folder where no other user may write", "%s is there, and is another user's", p.root.Name())
	}
	if err == nil {
		p.lock, err = p.root.Open(".")
	}
	if err == nil {
		err = unix.Flock(int(p.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fault.New(fault.Busy, "wait for it to end", "another restore to %s is going on", to)
	}
	if err == nil {
		err = cmp.Or(p.emptyOut(), tree.DropInheritedACL(p.root))
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// inTheWay gives the remedy for another user's file in the place of the folder.
func inTheWay(err error) error {
	if errors.Is(err, safepath.ErrReplaced) {
		return fault.Wrap(err, fault.Refused, "restore to a folder where no other user may write, and move it from there", "the folder that is restored to")
	}
	return err
}

// emptyOut removes everything in the folder.
func (p *restoreDir) emptyOut() error {
	entries, err := fs.ReadDir(p.root.FS(), ".")
	if err == nil && len(entries) > 0 {
		err = p.root.Chmod(".", 0o700)
	}
	if err == nil {
		err = refuseMounted(p.root.Name())
	}
	for _, e := range entries {
		if err == nil {
			err = safepath.RemoveIn(p.root, e.Name())
		}
	}
	return err
}

// commit renames the folder to its target. An empty folder there is replaced atomically; one that
// is not empty is an error.
func (p *restoreDir) commit(to string) error {
	err := safepath.Move(p.root, to) // os.Rename does not replace an empty folder
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return fault.New(fault.Busy, "name a folder that nobody uses", "something was put into %s meanwhile", to)
	}
	if errors.Is(err, unix.EBUSY) {
		return fault.New(fault.Refused, "name a folder below it", "%s is where a file system is mounted", to)
	}
	if err != nil {
		return inTheWay(err)
	}
	return safepath.SyncDir(filepath.Dir(to))
}

// discard removes what was not committed.
func (p *restoreDir) discard() {
	defer p.close()
	name := p.root.Name()
	now, err := os.Lstat(name)
	is, bad := p.root.Stat(".")
	if err != nil || bad != nil || !os.SameFile(now, is) {
		return
	}
	if p.emptyOut() == nil { // else the next restore tries again
		_ = safepath.Remove(name)
	}
}

func (p *restoreDir) close() {
	if p.lock != nil {
		p.lock.Close()
	}
	p.root.Close()
}
