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

// KeptBy returns how many versions of a LIM a side keeps: a standby two (spec
// ch. 6), a regular server three.
func KeptBy(side clusterconf.Side) int {
	if side == clusterconf.SideStandby {
		return 2
	}
	return 3
}

// Direction says which way data is to be copied.
type Direction string

// The directions. Auto copies from the side that has the newer data. Whatever
// is asked for, nothing newer is ever overwritten.
const (
	DirectionAuto      Direction = "auto"
	DirectionToStandby Direction = "to-standby"
	DirectionToRegular Direction = "to-regular"
	DirectionNone      Direction = "none" // in a Result: nothing was to be copied
)

// towards returns the direction whose target is a side.
func towards(target clusterconf.Side) Direction {
	if target == clusterconf.SideStandby {
		return DirectionToStandby
	}
	return DirectionToRegular
}

// MaxSkew is how far the clocks of two servers may be apart, and how far in the
// future a modification time may lie: beyond it, "newer" means nothing.
const MaxSkew = 2 * time.Second

const clockHint = "set the clocks by NTP on all servers, as the specification demands"

// decide chooses the direction by how the newest version of the regular side stands to
// that of the standby. DirectionNone means that both sides have the same.
func decide(regular, standby wire.Summary, order lineage.Order, want Direction) (Direction, error) {
	switch {
	case want == DirectionToStandby && regular.Name == "":
		return "", missing(clusterconf.SideRegular, regular)
	case want == DirectionToRegular && standby.Name == "":
		return "", missing(clusterconf.SideStandby, standby)
	case order == lineage.Same:
		return DirectionNone, nil
	case order == lineage.Apart:
		return "", inConflict(regular, standby)
	}
	found := DirectionToRegular
	if order == lineage.Newer {
		found = DirectionToStandby
	}
	if want != DirectionAuto && want != found {
		return "", overwriting(regular, standby, want)
	}
	return found, nil
}

// orderOf tells how one side's newest version stands to the other's, as far as that is seen
// without comparing contents.
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

// errConflict marks the conflict that only a person can resolve.
var errConflict = errors.New("the data of both sides differ, and neither follows the other")

// inConflict is the error of two versions of which none is newer. Nothing was copied.
func inConflict(regular, standby wire.Summary) error {
	lim, _, _ := parseName(regular.Name)
	return fault.Wrap(errConflict, fault.Conflict,
		fmt.Sprintf("say which one counts: 'mxcluster sync --lim %d --keep regular' or '--keep standby'; the other is set aside, not deleted", lim),
		"version %s of the regular side and %s of the standby", regular.Name, standby.Name)
}

// noConflict is the error of who wants to end a conflict where there is none.
func noConflict(regular, standby wire.Summary, order lineage.Order) error {
	what := "both sides have the same data"
	switch order {
	case lineage.Newer:
		what = "version " + regular.Name + " of the regular side is the newer one"
	case lineage.Older:
		what = "version " + standby.Name + " of the standby is the newer one"
	}
	return fault.New(fault.Refused, "synchronise without --keep", "there is no conflict: %s", what)
}

// fromFuture is the error of a version that is not copied because of a file's time.
func fromFuture(f *wire.FutureVersion, side clusterconf.Side, now time.Time) error {
	lim, _, _ := parseName(f.Local)
	return fault.New(fault.Refused,
		fmt.Sprintf("give the file the right time and back up again, or remove the version: mxcluster xdata remove --lim %d %s", lim, f.Local),
		"version %s on the %s side has a file from the future, and is not copied: %q of %s, and it is %s now",
		f.Local, side, fault.Plain(f.File), stampOf(f.Mtime), now.UTC().Format(time.RFC3339Nano))
}

// stampOf writes a time of a file.
func stampOf(mtime int64) string { return time.Unix(0, mtime).UTC().Format(time.RFC3339Nano) }

// missing is the error of a side that has nothing to give.
func missing(side clusterconf.Side, s wire.Summary) error {
	if s.Writing != nil {
		return fault.New(fault.Busy, "wait until nothing writes to it and try again",
			"the only version on the %s side is still being written: %s, which is waited for until %s", side, s.Writing.Version, s.Writing.Until.UTC().Format(time.RFC3339))
	}
	return fault.New(fault.NotFound, "make one there with 'mxcluster xdata backup'",
		"there is no complete version on the %s side", side)
}

// nothingToCopy is the error of two sides that have no version to copy; nil where they
// have no data at all, which is no failure.
func nothingToCopy(regular, standby wire.Summary) error {
	switch {
	case regular.Writing != nil:
		return missing(clusterconf.SideRegular, regular)
	case standby.Writing != nil:
		return missing(clusterconf.SideStandby, standby)
	case regular.Damaged:
		return missing(clusterconf.SideRegular, regular)
	case standby.Damaged:
		return missing(clusterconf.SideStandby, standby)
	}
	return nil
}

// overwriting is the error of a direction that goes against what is newer.
func overwriting(regular, standby wire.Summary, want Direction) error {
	return fault.New(fault.Refused, "leave the direction to what is newer with --direction auto",
		"%s would overwrite newer data: regular side %s of %s, standby side %s of %s", want,
		regular.Name, stampOf(regular.Mtime), standby.Name, stampOf(standby.Mtime))
}
