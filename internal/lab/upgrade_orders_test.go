//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// TestUpgradeInEveryOrder upgrades three servers in each order, and downgrades them again. It is
// played on demand, where an earlier version's program is named.
func TestUpgradeInEveryOrder(t *testing.T) {
	if os.Getenv(oldEnv) == "" {
		return
	}
	runScenario(t, "upgrade-orders", program(t))
}

// TestMixedCluster has servers of an earlier version beside servers of this one, in both orders. It
// is played where an earlier version's program is named.
func TestMixedCluster(t *testing.T) {
	if os.Getenv(oldEnv) == "" {
		return
	}
	runScenario(t, "mixed-cluster", program(t))
}

// mixed is a site whose servers run two versions of the program.
type mixed struct {
	*site
	f     findings
	old   string
	files int // that the next backup has
	edits int
}

// upgradeOrdersScenario: the servers of a cluster are upgraded in each order, when `upgrade check`
// says that they may be; an upgrade loses no call. Before the first, between any two and after the
// last, each version edits the document, data are backed up and copied, the power of LIM 1's server
// is cut, and it falls back. Then they are downgraded in the same order, and nothing is lost either.
// At the end something new is written: a downgrade is refused until that is undone.
func upgradeOrdersScenario(ctx context.Context, l *Lab) error {
	x, err := newMixed(ctx, l)
	if err != nil {
		return err
	}
	s := map[string]*Server{"srv1": x.srv1, "srv2": x.srv2, "sb1": x.standby}
	for _, order := range []string{"sb1 srv1 srv2", "sb1 srv2 srv1", "srv1 sb1 srv2", "srv1 srv2 sb1", "srv2 sb1 srv1", "srv2 srv1 sb1"} {
		names := strings.Fields(order)
		for i, name := range names {
			x.replace(ctx, s[name], l.Exe, order, "upgrade")
			if i < len(names)-1 {
				x.refuse(ctx, s[name], names[i+1:])
			}
			x.work(ctx, order, fmt.Sprintf("%d upgraded", i+1))
		}
		x.f.noError(x.mx(ctx, x.standby, "upgrade", "check", "--downgrade"), "nothing new is written")
		for _, name := range names {
			x.replace(ctx, s[name], x.old, order, "downgrade")
		}
		x.work(ctx, order, "downgraded")
		if ctx.Err() != nil {
			return errors.Join(x.f.err(), ctx.Err())
		}
	}
	for _, server := range s {
		x.replace(ctx, server, l.Exe, "any order", "upgrade")
	}
	x.undo(ctx)
	for _, server := range s {
		x.replace(ctx, server, x.old, "any order", "downgrade of what was undone")
	}
	x.work(ctx, "any order", "downgraded after an undo")
	return x.f.err()
}

// mixedScenario: the standby is the first to be upgraded, and the first to be downgraded, so that
// each of the two versions is once that of the standby and once that of the regular servers. In
// both, the cluster does what it is for, and no restart costs a call.
func mixedScenario(ctx context.Context, l *Lab) error {
	x, err := newMixed(ctx, l)
	if err != nil {
		return err
	}
	servers := []*Server{x.standby, x.srv1, x.srv2}
	for _, step := range []struct{ program, what, order string }{{l.Exe, "upgrade", "standby newer"}, {x.old, "downgrade", "standby older"}} {
		for i, s := range servers {
			x.replace(ctx, s, step.program, step.order, step.what)
			if i == 0 {
				x.work(ctx, step.order, "standby replaced")
			}
			if ctx.Err() != nil {
				return errors.Join(x.f.err(), ctx.Err())
			}
		}
	}
	return x.f.err()
}

// newMixed is a site with a cluster whose servers are all of the earlier version.
func newMixed(ctx context.Context, l *Lab) (*mixed, error) {
	x := &mixed{site: newEmptySite(l), old: os.Getenv(oldEnv), files: 3}
	for _, step := range []func(context.Context) error{x.build,
		func(context.Context) error { return x.install(x.old, x.srv1, x.srv2, x.standby) },
		x.makeSystem, x.connectClient, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) },
	} {
		if err := within(ctx, testStep, step); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// replace upgrades or downgrades a server once the newer program says that it may be restarted, and
// counts the calls that were lost meanwhile.
func (x *mixed) replace(ctx context.Context, s *Server, program, order, what string) {
	err := poll(ctx, "the agent of "+s.Name+" may be restarted", func() bool {
		r, err := s.Run(ctx, nil, x.Exe, "upgrade", "check")
		return err == nil && r.Code == int(fault.OK)
	})
	if err != nil {
		r, err2 := s.Run(ctx, nil, x.Exe, "upgrade", "check")
		x.f.noError(fmt.Errorf("%w: %+v, %w", err, r, err2), what)
		return
	}
	from := time.Now()
	x.f.noError(x.upgrade(ctx, s, program), what+" of "+s.Name)
	x.f.noError(x.awaitAgreement(ctx), "after the "+what+" of "+s.Name)
	to := time.Now()
	x.f.noError(x.caller.Settle(ctx), "calling")
	c, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	x.f.check(c.Lost == 0 && h.Twice == 0 && len(h.By) == 1, "%s, %s of %s: %d of %d calls lost, alias held by %q, %d times by two", order, what, s.Name, c.Lost, c.Calls, h.By, h.Twice)
	row(order, what+" "+s.Name, fmt.Sprintf("%d of %d calls lost, silence %s", c.Lost, c.Calls, c.Silence.Round(time.Millisecond)))
}

// refuse has an edit that old servers could not read be refused, with their names.
func (x *mixed) refuse(ctx context.Context, s *Server, old []string) {
	err := x.mx(ctx, s, "change", "c1", "--fallback-window", "02:00-04:00")
	if err == nil {
		x.f.check(false, "an edit that %q cannot read went well", old)
		return
	}
	for _, name := range old {
		x.f.check(fault.CodeOf(err) == fault.Refused && strings.Contains(err.Error()+fault.HintOf(err), name), "refused with code %d, for %s among others: %v", fault.CodeOf(err), name, err)
	}
}

// work does what is done in a cluster, with servers of whichever versions.
func (x *mixed) work(ctx context.Context, order, when string) {
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
		x.edits++
		x.f.noError(x.mx(ctx, s, "change", "c1", "--priority", fmt.Sprintf("1=%d", 10+x.edits%80)), "an edit on "+s.Name)
	}
	x.f.noError(x.awaitAgreement(ctx), "after edits")
	x.backUp(ctx, &x.f, x.files)
	x.files++
	x.f.noError(x.mx(ctx, x.standby, "sync", "c1"), "a sync from the standby")

	cut := time.Now()
	if !x.f.noError(x.cutPower(ctx), order+", "+when+": takeover") {
		return
	}
	took := time.Since(cut)
	x.f.noError(x.await(ctx, 1, "sb1"), "takeover")
	x.f.noError(x.srv1.Boot(ctx), "boot")
	x.f.noError(x.startAgent(ctx, x.srv1), "boot")
	x.f.noError(poll(ctx, "LIM 1 may fall back", func() bool {
		l, err := limStatus(ctx, x.standby, 1)
		return err == nil && l.Fallback.Ready != nil && *l.Fallback.Ready
	}), "fallback")
	back := time.Now()
	x.f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	x.f.noError(x.await(ctx, 1, "srv1"), "fallback")
	x.f.noError(x.caller.WaitAnswer(ctx, "srv1", back), "fallback")
	x.f.noError(x.awaitAgreement(ctx), "after a fallback")
	row(order, when, fmt.Sprintf("taken over in %s", took.Round(time.Millisecond)))
}

// undo writes what the version before cannot read, and undoes it as `upgrade check` says.
func (x *mixed) undo(ctx context.Context) {
	x.f.noError(x.mx(ctx, x.srv1, "change", "c1", "--fallback-window", "02:00-04:00", "--yes"), "an edit that all can read")
	x.f.noError(x.awaitAgreement(ctx), "after an edit")
	for range 3 {
		r, err := x.standby.Run(ctx, nil, "mxcluster", "upgrade", "check", "--downgrade", "-o", "json")
		var said struct {
			Downgrade struct {
				Possible bool     `json:"possible"`
				Undo     []string `json:"undo"`
			} `json:"downgrade"`
		}
		if !x.f.noError(errors.Join(err, json.Unmarshal(r.Out, &said)), "asking for a downgrade") {
			return
		}
		if x.say("undo %q", said.Downgrade.Undo); said.Downgrade.Possible {
			x.f.check(r.Code == int(fault.OK), "it may be downgraded, with code %d", r.Code)
			return
		}
		x.f.check(r.Code == int(fault.Refused) && len(said.Downgrade.Undo) > 0, "refused with code %d: %s", r.Code, r.Err)
		for _, command := range said.Downgrade.Undo {
			if strings.HasPrefix(command, "mxcluster config edit") {
				r, err := x.srv1.Run(ctx, []string{"EDITOR=sed -i /^level:/d"}, "mxcluster", "config", "edit", "--yes")
				x.f.check(err == nil && r.Code == 0, "%s: %v, %+v", command, err, r)
				continue
			}
			x.f.noError(x.mx(ctx, x.srv1, append(strings.Fields(command)[1:], "--yes")...), command)
		}
		x.f.noError(x.awaitAgreement(ctx), "after an undo")
	}
	x.f.check(false, "what is undone is not enough")
}
