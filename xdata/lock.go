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

// lock takes the lock of a LIM's versions, which the kernel releases when the
// process ends, and clears away what a crashed holder left. what names the work
// for whoever finds the lock taken. The error of a taken lock has fault.Busy.
func (s *Store) lock(lim int, what string) (release func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of data versions: %w", err)
	}
	name := filepath.Join(s.Dir, fmt.Sprintf(".lock-%d", lim))
	f, err := safepath.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
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
			"the data of LIM %d is in use by %s", lim, holder(f))
	}
	if err == nil {
		err = note(f, occupant(what, s.Reason))
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
		// Closing alone would leave it locked while a program that is being started at
		// this moment still has a copy of the file.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
		f.Close()
	}, nil
}

// occupant names who holds the lock, and why.
func occupant(what, why string) string {
	text := fmt.Sprintf("%s (process %d)", what, os.Getpid())
	if why != "" {
		text += ": " + why
	}
	return text
}

// note writes who holds the lock into it.
func note(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder reads who holds the lock.
func holder(f *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(f, 200))
	if len(text) == 0 {
		return "another process"
	}
	return fault.Plain(string(text))
}
