package xdata

import (
	"errors"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/wire"
)

// KeptBy returns how many versions of a LIM a side keeps: two on a standby (spec ch. 6), three on a
// regular server.
func KeptBy(side clusterconf.Side) int {
	if side == clusterconf.SideStandby {
		return 2
	}
	return 3
}

// Direction is the way in which data are copied.
type Direction string

// The directions. Auto copies from the side with the newer data. No direction ever overwrites newer
// data.
const (
	DirectionAuto      Direction = "auto"
	DirectionToStandby Direction = "to-standby"
	DirectionToRegular Direction = "to-regular"
	DirectionNone      Direction = "none" // in a Result: nothing to copy
)

// towards returns the direction that copies to target.
func towards(target clusterconf.Side) Direction {
	if target == clusterconf.SideStandby {
		return DirectionToStandby
	}
	return DirectionToRegular
}

// MaxSkew is the largest accepted difference between the clocks of two servers, and how far in the
// future a modification time may lie. Beyond it, times do not tell which data are newer.
const MaxSkew = 2 * time.Second

const clockHint = "set the clocks by NTP on all servers, as the specification demands"

// decide chooses the direction from the order of the two newest versions: order says how the
// regular side's stands to the standby's. DirectionNone: both sides have the same. A direction that
// would overwrite newer data, and a conflict, are errors.
func decide(regular, standby wire.Summary, order lineage.Order, want Direction) (Direction, error) {
	switch {
	case want == DirectionToStandby && regular.Name == "":
		return "", noVersionError(clusterconf.SideRegular, regular)
	case want == DirectionToRegular && standby.Name == "":
		return "", noVersionError(clusterconf.SideStandby, standby)
	case order == lineage.Same:
		return DirectionNone, nil
	case order == lineage.Apart:
		return "", conflictError(regular, standby)
	}
	found := DirectionToRegular
	if order == lineage.Newer {
		found = DirectionToStandby
	}
	if want != DirectionAuto && want != found {
		return "", overwriteError(regular, standby, want)
	}
	return found, nil
}

// orderOf compares two versions as far as that is possible without comparing contents.
func orderOf(a, b wire.Summary) lineage.Order {
	switch {
	case a.Name == "" && b.Name == "":
		return lineage.Same
	case b.Name == "":
		return lineage.Newer
	case a.Name == "":
		return lineage.Older
	}
	return lineage.Compare(&a.Line, &b.Line)
}

// errConflict marks a conflict that a person has to resolve.
var errConflict = errors.New("the data of both sides differ, and neither follows the other")

// conflictError is the error for two versions of which neither is newer. Nothing was copied.
func conflictError(regular, standby wire.Summary) error {
	lim, _, _ := parseName(regular.Name)
	return fault.Wrap(errConflict, fault.Conflict,
		fmt.Sprintf("say which one counts: 'mxcluster sync --lim %d --keep regular' or '--keep standby'; the other is set aside, not deleted", lim),
		"version %s of the regular side and %s of the standby", regular.Name, standby.Name)
}

// noConflictError is the error for a request to end a conflict where there is none.
func noConflictError(regular, standby wire.Summary, order lineage.Order) error {
	what := "both sides have the same data"
	switch order {
	case lineage.Newer:
		what = "version " + regular.Name + " of the regular side is the newer one"
	case lineage.Older:
		what = "version " + standby.Name + " of the standby is the newer one"
	}
	return fault.New(fault.Refused, "synchronise without --keep", "there is no conflict: %s", what)
}

// futureError is the error for a version that is not copied because a file's time is in the future.
func futureError(f *wire.FutureVersion, side clusterconf.Side, now time.Time) error {
	lim, _, _ := parseName(f.Local)
	return fault.New(fault.Refused,
		fmt.Sprintf("give the file the right time and back up again, or remove the version: mxcluster xdata remove --lim %d %s", lim, f.Local),
		"version %s on the %s side has a file from the future, and is not copied: %q of %s, and it is %s now",
		f.Local, side, fault.Plain(f.File), stampOf(f.Mtime), now.UTC().Format(time.RFC3339Nano))
}

// stampOf formats a file's time.
func stampOf(mtime int64) string { return time.Unix(0, mtime).UTC().Format(time.RFC3339Nano) }

// noVersionError is the error for a side that has no version to copy from.
func noVersionError(side clusterconf.Side, s wire.Summary) error {
	if s.Writing != nil {
		return fault.New(fault.Busy, "wait until nothing writes to it and try again",
			"the only version on the %s side is still being written: %s, which is waited for until %s", side, s.Writing.Version, s.Writing.Until.UTC().Format(time.RFC3339))
	}
	return fault.New(fault.NotFound, "make one there with 'mxcluster xdata backup'",
		"there is no complete version on the %s side", side)
}

// nothingToCopy is the error for two sides without a version that can be copied; nil where neither
// has any data, which is no failure.
func nothingToCopy(regular, standby wire.Summary) error {
	switch {
	case regular.Writing != nil:
		return noVersionError(clusterconf.SideRegular, regular)
	case standby.Writing != nil:
		return noVersionError(clusterconf.SideStandby, standby)
	case regular.Damaged:
		return noVersionError(clusterconf.SideRegular, regular)
	case standby.Damaged:
		return noVersionError(clusterconf.SideStandby, standby)
	}
	return nil
}

// overwriteError is the error for a direction that would overwrite newer data.
func overwriteError(regular, standby wire.Summary, want Direction) error {
	return fault.New(fault.Refused, "leave the direction to what is newer with --direction auto",
		"%s would overwrite newer data: regular side %s of %s, standby side %s of %s", want,
		regular.Name, stampOf(regular.Mtime), standby.Name, stampOf(standby.Mtime))
}
