package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	roomPeriod = 5 * time.Second  // from one look at the room on the disks to the next
	roomRetry  = time.Second      // from one try to save what a disk did not take to the next
	diskHangs  = 10 * time.Second // a save that takes so long has found no room
)

// room is what is known of the places for what must outlive the process. The
// runtime folder serves while the disk takes nothing; what it holds is written to
// the disk as soon as that takes it again.
type room struct {
	disk    string    // why the disk did not take the last state; "": it did
	memory  string    // why the runtime folder did not; "": it did
	tight   string    // why a file system will take nothing soon; "": it will
	store   string    // why the newest document could not be stored; "": it could
	began   time.Time // when the oldest save that is under way began; zero: none is
	looked  time.Time
	looking bool
}

// words returns an error as a text that may be empty.
func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// lookForRoom looks at the file systems from time to time, beside the main loop.
func (a *keptState) lookForRoom(now time.Time) {
	if a.deps.Room == nil || a.room.looking || now.Sub(a.room.looked) < roomPeriod {
		return
	}
	a.room.looking, a.room.looked = true, now
	a.wg.Go(func() {
		err := a.deps.Room()
		a.post(func() {
			a.room.looking = false
			a.nothingNew = a.room.tight == words(err)
			a.unsaved = a.unsaved || !a.nothingNew // trying to save shows at once whether there is no room at all
			a.room.tight = words(err)
		})
	})
}

// nowhere says why nothing can be kept, neither on the disk nor in memory; "": it can.
func (r *room) nowhere() string {
	if r.disk == "" || r.memory == "" {
		return ""
	}
	return r.disk + "; " + r.memory
}

// hangs reports whether the disk has not answered for too long.
func (r *room) hangs(now time.Time) bool { return !r.began.IsZero() && now.Sub(r.began) > diskHangs }

// noRoom returns an error of a disk that takes nothing; nil for every other one.
func noRoom(err error) error {
	for _, e := range []error{unix.ENOSPC, unix.EROFS, unix.EDQUOT, unix.EIO} {
		if errors.Is(err, e) {
			return err
		}
	}
	return nil
}

// bothFailed joins why a state could be kept in neither place; nil where one took it.
func bothFailed(kept, saved error) error {
	if kept == nil || saved == nil {
		return nil
	}
	return fmt.Errorf("%w; %w", saved, kept)
}

// roomIn returns what keeps folders from taking more; nil: nothing does.
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
