//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// longestSocket is the longest path of a Unix socket.
const longestSocket = 107

// deepestSocket is the longest path of a socket below the lab folder.
const deepestSocket = "/client-with-name/run/agent.sock"

// handover is how long the folder of a killed lab may stay locked, while the kernel ends its
// processes.
const handover = time.Second

// DefaultDir returns the lab folder of this user below the temporary folder.
func DefaultDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("mxcluster-lab-%d", os.Getuid()))
}

// folder is a lab folder locked by this process. The lock is on the folder itself, so that no lock
// file remains.
type folder struct {
	path string
	file *os.File
}

// openFolder creates and locks the lab folder, and removes what a killed lab left in it. A folder
// in use by a lab is fault.Busy; one that others may write to is fault.Refused.
func openFolder(path string) (*folder, error) {
	if len(path)+len(deepestSocket) > longestSocket {
		return nil, fault.New(fault.Refused, "set TMPDIR to a shorter path",
			"opening lab folder %s: path too long for the sockets in it", path)
	}
	deadline := time.Now().Add(handover)
	for {
		f, err := lockFolder(path)
		switch {
		case err == nil:
			return f, f.empty()
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.ESTALE):
			return nil, err
		case time.Now().After(deadline):
			return nil, fault.Wrap(err, fault.Busy, "end it by 'mxcluster lab down'; a demonstration ends by itself, or by Ctrl-C",
				"opening lab folder %s: a lab is running there", path)
		}
		<-time.After(handover / 50)
	}
}

// inUse reports whether a lab runs in a folder.
func inUse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// lockFolder makes one attempt. ESTALE means that the folder was removed by its former owner
// between opening and locking.
func lockFolder(path string) (*folder, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making lab folder: %w", err)
	}
	// A symbolic link of another user must not be followed.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.Refused, "remove it, or set TMPDIR to another folder",
			"opening lab folder %s", path)
	}
	f := &folder{path: path, file: os.NewFile(uintptr(fd), path)}
	if err := f.claim(); err != nil {
		f.file.Close()
		return nil, err
	}
	return f, nil
}

// claim checks that nobody else may write to the open folder, locks it, checks that it is still the
// one at the path, and makes it private: a lab with databases that was killed has left it open to readers.
func (f *folder) claim() error {
	var opened, named unix.Stat_t
	fd := int(f.file.Fd())
	if err := unix.Fstat(fd, &opened); err != nil {
		return fmt.Errorf("looking at lab folder %s: %w", f.path, err)
	}
	if int(opened.Uid) != os.Getuid() || opened.Mode&0o022 != 0 {
		return fault.New(fault.Refused, "remove it, or set TMPDIR to another folder",
			"opening lab folder %s: not a folder that this user alone writes to", f.path)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("locking lab folder %s: %w", f.path, err)
	}
	if err := unix.Lstat(f.path, &named); err != nil || named.Ino != opened.Ino || named.Dev != opened.Dev {
		return fmt.Errorf("locking lab folder %s: %w", f.path, unix.ESTALE)
	}
	if err := f.file.Chmod(0o700); err != nil {
		return fmt.Errorf("keeping lab folder %s private: %w", f.path, err)
	}
	return nil
}

// empty removes everything in the folder. It retries for a while, as ending processes may still add
// files.
func (f *folder) empty() error {
	deadline := time.Now().Add(handover)
	for {
		err := removeChildren(f.path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(handover / 50)
	}
}

func removeChildren(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("emptying lab folder: %w", err)
	}
	var failed error
	for _, e := range entries {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(path, e.Name())))
	}
	if failed != nil {
		return fmt.Errorf("emptying lab folder: %w", failed)
	}
	return nil
}

// remove empties and removes the folder, and releases the lock.
func (f *folder) remove() error {
	err := f.empty()
	if err == nil {
		err = os.Remove(f.path)
	}
	return errors.Join(err, f.file.Close())
}
