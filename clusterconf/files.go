package clusterconf

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
)

const (
	documentMode = 0o644 // everybody may read: secrets are in files of their own
	folderMode   = 0o755

	// What the document once said is its owner's alone: a parameter may have been a secret.
	formerMode       = 0o600
	formerFolderMode = 0o700
)

// readRegular returns the content of a regular file of at most MaxSize bytes;
// of a longer one it returns one byte more. A symbolic link is refused, for
// replacing would put a file where the link was and leave its target stale.
func readRegular(path string) ([]byte, error) {
	// Without O_NONBLOCK opening a FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, notRegular(path, fs.ModeSymlink)
	case err != nil:
		return nil, fileFault(err, "read", path)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fileFault(err, "read", path)
	case !info.Mode().IsRegular():
		return nil, notRegular(path, info.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	return data, fileFault(err, "read", path)
}

// isMissing tells whether there is nothing at path. Something that is not a
// regular file is an error.
func isMissing(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fileFault(err, "look at", path)
	case !info.Mode().IsRegular():
		return false, notRegular(path, info.Mode())
	}
	return false, nil
}

func notRegular(path string, mode fs.FileMode) error {
	what := "not a regular file"
	if mode&fs.ModeSymlink != 0 {
		what = "a symbolic link"
	}
	return fault.New(fault.Invalid, "put the file itself there, or point --config-dir and --state-dir at the folder that has it",
		"%s is %s", path, what)
}

// replaceFile puts data at path in one step and makes it durable. Mode and
// owner of a file that was there are kept. It must run under the store's lock.
func replaceFile(path string, data []byte) error { return replaceBy(path, data, writePending) }

// keepFile is replaceFile for what the document once was.
func keepFile(path string, data []byte) error {
	return replaceBy(path, data, func(path string, data []byte) error {
		return renameio.WriteFile(path, data, formerMode, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(formerMode))
	})
}

func replaceBy(path string, data []byte, write func(path string, data []byte) error) error {
	if err := sweep(path); err != nil {
		return err
	}
	if err := write(path, data); err != nil {
		return fileFault(err, "write", path)
	}
	if err := safepath.SyncDir(filepath.Dir(path)); err != nil {
		return fault.Wrap(err, fault.Unknown, "check the disk, then look at the document: mxcluster config show",
			"%s was replaced but may not outlive a power cut", path)
	}
	return nil
}

func writePending(path string, data []byte) error {
	// By chmod, for the umask must not make the document unreadable.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(documentMode), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // nothing to do once the file is replaced, nothing to add to the error before
	if err := copyOwner(path, f.File); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// copyOwner gives f the owner of the file at path, if there is one.
func copyOwner(path string, f *os.File) error {
	var old, pending unix.Stat_t
	switch err := unix.Lstat(path, &old); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if err := unix.Fstat(int(f.Fd()), &pending); err != nil {
		return &fs.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	if old.Uid == pending.Uid && old.Gid == pending.Gid {
		return nil
	}
	return f.Chown(int(old.Uid), int(old.Gid))
}

// sweep removes pending files that killed writers left. Whoever holds the lock
// is the only writer, so none of them is in use.
func sweep(path string) error {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fileFault(err, "read", dir)
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		if !ours || rest == "" || strings.Trim(rest, "0123456789") != "" {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fileFault(err, "remove", filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// makeDir makes a folder with its parents and makes it durable.
func makeDir(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fault.New(fault.Failed, "move it away, or choose another folder", "%s is not a folder", dir)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fileFault(err, "make folder", dir)
	}
	return fileFault(safepath.SyncDir(filepath.Dir(dir)), "make folder", dir)
}

// makeHistory makes the folder of former documents, and closes it to others. Where its
// mode cannot be changed the files in it are closed all the same. A link that others may
// have put in its place is not followed.
func makeHistory(dir string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	root, err := safepath.Folder(dir)
	if err != nil {
		return fileFault(err, "open folder", dir)
	}
	defer root.Close()
	if info, err := root.Stat("."); err == nil && info.Mode().Perm() != formerFolderMode {
		_ = root.Chmod(".", formerFolderMode)
	}
	return nil
}

// fileFault gives an error of the file system its exit code, what was being
// done to which file, and the remedy; nil stays nil.
func fileFault(err error, doing, path string) error {
	if err == nil {
		return nil
	}
	// The path is named once, and not that of a pending file.
	cause := err
	var errno syscall.Errno
	if errors.As(err, &errno) {
		cause = errno
	}
	code, hint := fault.Failed, ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		code, hint = fault.NotPermitted, "run it as root, or as the owner of the file and its folder"
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: mount it writable"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "make room on the disk; the document is unchanged"
	case errors.Is(err, syscall.EIO):
		hint = "check the disk; the kernel's log says more"
	}
	return fault.Wrap(cause, code, hint, "cannot %s %s", doing, path)
}
