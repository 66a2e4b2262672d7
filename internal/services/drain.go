package services

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// drainer is a service that can be asked to let end what it does for callers, and to serve
// on meanwhile.
type drainer interface {
	// Drain returns when no call is left; known is false where the service knows of no such
	// thing. When ctx ends, all that it started is ended.
	Drain(ctx context.Context, env Env) (known bool, err error)
}

// Drainable returns the SPECs of the services that may know how to let calls end, in the
// order in which they are asked, and of those that do not, by their kind.
func (s Set) Drainable() (asked, never []string) {
	for _, service := range slices.Backward(s) {
		if _, ok := service.(drainer); ok {
			asked = append(asked, service.String())
		} else {
			never = append(never, service.String())
		}
	}
	return asked, never
}

// Drain has the services let their calls end, one after the other, in the order in which
// they are stopped, and returns when none is left. It returns the SPECs of those that do
// not know how, though their kind does. It stops at the first failure, which ctx's end is one of.
func (s Set) Drain(ctx context.Context, env Env) (unknown []string, err error) {
	for _, service := range slices.Backward(s) {
		d, ok := service.(drainer)
		if !ok {
			continue
		}
		switch known, err := d.Drain(ctx, env); {
		case err != nil:
			return unknown, err
		case !known:
			unknown = append(unknown, service.String())
		}
	}
	return unknown, nil
}

// The exit statuses by which a program says that it does not know a verb.
const (
	statusUsage   = 64 // sysexits.h
	statusInvalid = 2  // LSB, for init scripts: invalid or excess argument
)

// drainLongest bounds a call whose caller sets no bound.
const drainLongest = 24 * time.Hour

// drainMark begins the mark of the processes of a drain, which are not those of the service,
// nor those of another drain of it.
const drainMark = "drain-"

// EndDrains ends the drains that an agent of this instance left behind when it was killed:
// nobody waits for them.
func (o Options) EndDrains() error {
	o = o.withDefaults()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if _, m, ok := ownerOf(environOf(dir), o.Instance); ok && strings.Contains(m.variable, " "+drainMark) {
			m.units = "" // one that systemd started is found by its environment, too
			_, err := endOwned(m, o.Grace)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Drain calls the program with the verb drain. What that leaves running is ended: it is not
// the service.
func (s *script) Drain(ctx context.Context, env Env) (known bool, err error) {
	d := program{drainMark + uniqueName() + " of " + s.spec, s.opt}
	path := env.fill(s.path)
	if err := d.runnable(path); err != nil {
		return true, fmt.Errorf("drain of %s: %w", s.spec, err)
	}
	limit := drainLongest
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end) + s.opt.Grace // ctx itself ends it
	}
	output, err := d.run(ctx, env, programCall{path: path, verb: "drain", limit: limit})
	if _, left := endOwned(d.owner(env), s.opt.Grace); left != nil {
		s.opt.Log.Warn("ending what a drain left", "service", s.spec, "err", left)
	}
	switch exitStatus(err) {
	case 0:
		return true, nil
	case statusUsage, statusInvalid:
		return false, nil
	}
	if output != "" {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return true, fmt.Errorf("drain of %s: %w", s.spec, err)
}
