package services

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"
)

// adoptRounds bounds how often processes are listed again that were started while others were
// moved.
const adoptRounds = 10

// Adopt moves software that runs in this process's own control group to units of its own, as if
// systemd had started it: an agent of an older version started it as child processes. The software
// is not disturbed. It returns the processes that it moved. Where programs are not started by
// systemd, it does nothing.
func Adopt(ctx context.Context, opt Options) (moved []string, err error) {
	opt = opt.withDefaults()
	if !opt.Systemd.startsPrograms() {
		return nil, nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, opt.StartTimeout, timeLimit(opt.StartTimeout))
	defer cancel()
	for range adoptRounds {
		found := strays("/proc", os.Getpid(), opt.Instance)
		if len(found) == 0 {
			return moved, err
		}
		var names []string
		for _, g := range found {
			if names, err = g.move(ctx, limited, opt); err != nil {
				break // ended meanwhile; the next listing shows it
			}
			moved = append(moved, names...)
		}
		if limited.Err() != nil {
			break
		}
	}
	if err != nil {
		return moved, fmt.Errorf("moving LIM software out of the agent's control group: %w", err)
	}
	return moved, nil
}

// strayGroup is the processes of one service in the agent's control group.
type strayGroup struct {
	lim  int // 0: unknown
	mark mark
	pids []uint32
}

// unknownStrays is the prefix of unit names for processes whose service is unknown.
const unknownStrays = "mxcluster-unknown-"

// strays finds the processes in the control group of this process's unit that it did not start, by
// service.
func strays(proc string, self int, instance string) (groups []strayGroup) {
	group := groupOf(filepath.Join(proc, strconv.Itoa(self)))
	if !strings.HasSuffix(group, ".service") {
		return nil // started by hand, in a control group with others
	}
	dirs, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || groupOf(dir) != group || ended(dir) || descends(proc, pid, self) {
			continue
		}
		lim, m, ok := ownerOf(environOf(dir), instance)
		if !ok {
			lim, m = 0, mark{units: unknownStrays}
		}
		i := slices.IndexFunc(groups, func(g strayGroup) bool { return g.mark == m })
		if i < 0 {
			i, groups = len(groups), append(groups, strayGroup{lim: lim, mark: m})
		}
		groups[i].pids = append(groups[i].pids, uint32(pid))
	}
	return groups
}

// descends reports whether a process is from, or a descendant of it.
func descends(proc string, pid, from int) bool {
	for pid > 1 && pid != from {
		pid = parent(filepath.Join(proc, strconv.Itoa(pid)))
	}
	return pid == from
}

// move moves the processes into a scope in the LIM's slice, and returns their names.
func (g strayGroup) move(ctx, limited context.Context, opt Options) (names []string, err error) {
	slice, whose := "mxcluster.slice", "software of an older agent"
	if g.lim != 0 {
		slice, whose = limSlice(g.lim), fmt.Sprintf("LIM %d, software of an older agent", g.lim)
	}
	for _, pid := range g.pids {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), pid))
	}
	properties := []dbus.Property{
		{Name: "Description", Value: bus.MakeVariant("mxcluster: " + whose)},
		{Name: "PIDs", Value: bus.MakeVariant(g.pids)},
		{Name: "Slice", Value: bus.MakeVariant(slice)},
		{Name: "Before", Value: bus.MakeVariant([]string{agentUnit})},
		{Name: "CollectMode", Value: bus.MakeVariant("inactive-or-failed")},
		{Name: "TimeoutStopUSec", Value: bus.MakeVariant(microseconds(opt.StopTimeout))},
	}
	unit := g.mark.units + "adopted-" + uniqueName() + ".scope"
	return names, opt.Systemd.untilHeard(ctx, limited, func(ctx context.Context, c *dbus.Conn) error {
		done := make(chan string, 1)
		if _, err := c.StartTransientUnitContext(ctx, unit, "replace", properties, done); err != nil {
			return overBus(err)
		}
		select {
		case result := <-done:
			if result != jobDone {
				return fmt.Errorf("systemd says: %s", result)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}
