package xdata

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
)

// lock takes the exclusive lock of a LIM's versions and removes what a crashed holder left. The
// kernel releases the lock when the process ends. what names the work, for others that find the
// lock taken; that is fault.Busy.
func (s *Store) lock(lim int, what string) (release func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of data versions: %w", err)
	}
	f, err := safepath.OpenFile(s.lockName(lim), os.O_RDWR|os.O_CREATE, 0o640)
	if errors.Is(err, safepath.ErrLink) {
		err = fault.Wrap(err, fault.Refused, "remove the link, or name the folder that it leads to: xdata_dir in mxcluster.yaml", "the folder of data versions")
	}
	if err != nil {
		return nil, fmt.Errorf("lock the data of LIM %d: %w", lim, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, fault.New(fault.Busy, "wait for it to end and try again",
			"the data of LIM %d is in use by %s", lim, readHolder(f))
	}
	if err == nil {
		err = writeHolder(f, occupant(what, s.Reason))
	}
	if err == nil {
		s.partials(lim).clean()
		left := leftovers{dir: s.Dir, lim: lim, now: s.now, warn: s.warn}
		err = errors.Join(left.clean(), s.marks().cleanNotes(lim), s.indexes().clean(lim))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the data of LIM %d: %w", lim, err)
	}
	return func() {
		// Closing the file alone would keep the lock while a child process that is being started
		// still has a copy of the descriptor.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
		f.Close()
	}, nil
}

// InUse says by whom the data of a LIM are in use, e.g. a sync; "": by nobody, or that cannot be
// seen.
func (s *Store) InUse(lim int) string {
	f, err := safepath.OpenFile(s.lockName(lim), os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return readHolder(f)
	}
	return ""
}

// lockName is the file whose lock is that of a LIM's data.
func (s *Store) lockName(lim int) string { return filepath.Join(s.Dir, fmt.Sprintf(".lock-%d", lim)) }

// occupant describes a holder of the lock: what it does, and why.
func occupant(what, why string) string {
	text := fmt.Sprintf("%s (process %d)", what, os.Getpid())
	if why != "" {
		text += ": " + why
	}
	return text
}

// writeHolder writes the holder's description into the lock file.
func writeHolder(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// readHolder reads the description of the holder.
func readHolder(f *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(f, 200))
	if len(text) == 0 {
		return "another process"
	}
	return fault.Plain(string(text))
}
