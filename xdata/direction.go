package xdata

import (
	"time"

	"mxcluster/internal/fault"
)

// Side is one of the two places that hold the versions of a LIM.
type Side string

// The two sides.
const (
	SideRegular Side = "regular"
	SideStandby Side = "standby"
)

// other returns the opposite side.
func (s Side) other() Side {
	if s == SideRegular {
		return SideStandby
	}
	return SideRegular
}

// Keep returns how many versions of a LIM a side keeps: a standby two (spec
// ch. 6), a regular server three.
func (s Side) Keep() int {
	if s == SideStandby {
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
func towards(target Side) Direction {
	if target == SideStandby {
		return DirectionToStandby
	}
	return DirectionToRegular
}

// MaxSkew is how far the clocks of two servers may be apart, and how far in the
// future a modification time may lie: beyond it, "newer" means nothing.
const MaxSkew = 2 * time.Second

const clockHint = "set the clocks by NTP on all servers, as the specification demands"

// decide chooses the direction by the newest modification time on each side.
// DirectionNone means that the times are equal, and the contents are to be compared.
func decide(regular, standby summary, want Direction, now time.Time) (Direction, error) {
	for _, s := range []struct {
		side Side
		summary
	}{{SideRegular, regular}, {SideStandby, standby}} {
		if err := checkFuture(s.summary, s.side, now); err != nil {
			return "", err
		}
	}
	switch {
	case regular.Name == "" && standby.Name == "":
		return "", nothingToCopy(regular, standby)
	case want == DirectionToStandby && regular.Name == "":
		return "", missing(SideRegular, regular)
	case want == DirectionToRegular && standby.Name == "":
		return "", missing(SideStandby, standby)
	case regular.Name != "" && standby.Name != "" && regular.Mtime == standby.Mtime:
		return DirectionNone, nil
	}
	found := DirectionToRegular
	if standby.Name == "" || regular.Name != "" && regular.Mtime > standby.Mtime {
		found = DirectionToStandby
	}
	if want != DirectionAuto && want != found {
		return "", overwriting(regular, standby, want)
	}
	return found, nil
}

// checkFuture refuses a version with times that have not come yet.
func checkFuture(s summary, side Side, now time.Time) error {
	if s.Name == "" || s.Mtime <= nanoseconds(now.Add(MaxSkew)) {
		return nil
	}
	return fault.New(fault.Refused, clockHint,
		"version %s on the %s side has a file from the future: %s, and it is %s now",
		s.Name, side, stampOf(s.Mtime), now.UTC().Format(time.RFC3339Nano))
}

func stampOf(mtime int64) string { return time.Unix(0, mtime).UTC().Format(time.RFC3339Nano) }

// missing is the error of a side that has nothing to give.
func missing(side Side, s summary) error {
	if s.Writing {
		return fault.New(fault.Busy, "wait until nothing writes to it and try again",
			"the only version on the %s side is still being written", side)
	}
	return fault.New(fault.NotFound, "make one there with 'mxcluster xdata backup'",
		"there is no complete version on the %s side", side)
}

// nothingToCopy is the error of two sides that have no complete version.
func nothingToCopy(regular, standby summary) error {
	if standby.Writing && !regular.Writing {
		return missing(SideStandby, standby)
	}
	if regular.Writing {
		return missing(SideRegular, regular)
	}
	return fault.New(fault.NotFound, "make one with 'mxcluster xdata backup'", "there is no version on either side")
}

// overwriting is the error of a direction that goes against the times.
func overwriting(regular, standby summary, want Direction) error {
	return fault.New(fault.Refused, "leave the direction to the modification times with --direction auto",
		"%s would overwrite newer data: regular side %s of %s, standby side %s of %s", want,
		regular.Name, stampOf(regular.Mtime), standby.Name, stampOf(standby.Mtime))
}
