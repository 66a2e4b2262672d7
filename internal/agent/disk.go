package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	roomPeriod = 5 * time.Second  // between checks of the room on the disks
	roomRetry  = time.Second      // between attempts to save a state that the disk did not take
	diskHangs  = 10 * time.Second // a save that takes so long counts as failed
)

// room is what is known of the places for state that must outlive the process. The runtime folder
// is used while the disk takes nothing; its content is written to the disk as soon as that is
// possible.
type room struct {
	disk    string    // error of the last save to the disk; "": none
	memory  string    // error of the last save to the runtime folder; "": none
	tight   string    // why a file system will soon be full; "": none will
	store   string    // why the newest document could not be stored; "": it was
	began   time.Time // start of the oldest save in progress; zero: none is
	looked  time.Time
	looking bool
}

// errText returns the text of an error; "" for nil.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// lookForRoom checks the file systems from time to time, beside the main loop.
func (a *keptState) lookForRoom(now time.Time) {
	if a.deps.Room == nil || a.room.looking || now.Sub(a.room.looked) < roomPeriod {
		return
	}
	a.room.looking, a.room.looked = true, now
	a.wg.Go(func() {
		err := a.deps.Room()
		a.post(func() {
			a.room.looking = false
			a.nothingNew = a.room.tight == errText(err)
			a.unsaved = a.unsaved || !a.nothingNew // the save shows whether there is any room
			a.room.tight = errText(err)
		})
	})
}

// nowhere returns why state can be kept neither on the disk nor in memory; "": it can.
func (r *room) nowhere() string {
	if r.disk == "" || r.memory == "" {
		return ""
	}
	return r.disk + "; " + r.memory
}

// hangs reports whether the disk has not answered for too long.
func (r *room) hangs(now time.Time) bool { return !r.began.IsZero() && now.Sub(r.began) > diskHangs }

// noRoom returns err if it means that a disk takes nothing more, else nil.
func noRoom(err error) error {
	for _, e := range []error{unix.ENOSPC, unix.EROFS, unix.EDQUOT, unix.EIO} {
		if errors.Is(err, e) {
			return err
		}
	}
	return nil
}

// bothFailed joins the errors of the two places; nil if one of them took the state.
func bothFailed(kept, saved error) error {
	if kept == nil || saved == nil {
		return nil
	}
	return fmt.Errorf("%w; %w", saved, kept)
}

// roomIn returns why one of the folders will soon be full; nil: none will.
func roomIn(folders ...string) error {
	var errs []error
	for _, f := range folders {
		if err := roomFor(f); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
