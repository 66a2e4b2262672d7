package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

const (
	stepRetry    = time.Second      // delay after a step of the document that could not be stored
	lingersAfter = 30 * time.Second // after which an incomplete change is reported
)

// agentUser is the user in the record of changes for steps by agents.
const agentUser = "the agent"

// advance takes the next step for LIMs that leave their clusters and servers whose base was moved:
// it gives up what this server has to give up, and, if this server carries out edits, stores the
// next revision of the document (decision 0050).
func (a *documents) advance(now time.Time) {
	if !failover.Pending(a.doc) {
		a.steps = failover.Step{}
		return
	}
	own := a.claim(now)
	v := a.view(now)
	a.steps = failover.NextStep(v, &own)
	idle := len(a.steps.Left) == 0 && len(a.steps.Settled) == 0
	place := failover.EditPlace(v, &own)
	if idle || a.storingStep || a.stopping || a.removed != 0 || !a.settled || now.Sub(a.stepBegan) < stepRetry && !a.stepBegan.IsZero() || place.Server != a.cfg.Server {
		return
	}
	a.storeStep(a.steps, place, now)
}

// storeStep stores the revision made by a step, unless the document has changed by then.
func (a *documents) storeStep(step failover.Step, place failover.EditorPlace, now time.Time) {
	a.storingStep, a.stepBegan = true, now
	revision := a.doc.Revision
	change := clusterconf.Change{By: agentUser, On: a.cfg.Server, Command: stepCommand(a.doc, step), Reason: stepReason(step)}
	apply := func(d *clusterconf.Document) {
		if d.Revision != revision {
			return
		}
		for _, lim := range step.Left {
			d.CompleteLeave(lim)
		}
		for _, server := range step.Settled {
			d.SettleBase(server)
		}
	}
	base, next := a.hash, a.doc.Clone()
	a.wg.Go(func() {
		ctx, cancel := a.background(editTimeout)
		defer cancel()
		var res clusterconf.Result
		var err error
		if !place.Raise {
			res, err = a.deps.Documents.Edit(ctx, change, func(d *clusterconf.Document) error { apply(d); return nil })
		} else {
			apply(next)
			_, err = a.storeEdit(ctx, base, change, next, place)
		}
		a.post(func() {
			a.storingStep = false
			if err != nil {
				a.log.Error("storing the next step of the cluster document", "step", change.Command, "err", err)
				return
			}
			if res.Changed {
				a.stepBegan = time.Time{} // the next step need not wait
			}
			a.readDocument()
		})
	})
}

// stepCommand names a step in the record of changes.
func stepCommand(d *clusterconf.Document, step failover.Step) string {
	var words []string
	for _, lim := range step.Left {
		words = append(words, fmt.Sprintf("LIM %d leaves %s", lim, d.ClusterOfLIM(lim).Name))
	}
	for _, server := range step.Settled {
		words = append(words, fmt.Sprintf("former base of %s goes", server))
	}
	return strings.Join(words, ", ")
}

func stepReason(step failover.Step) string {
	if len(step.Left) > 0 {
		return "the standby has given it up"
	}
	return "every server has the document"
}

// giveUpLeaving removes from this standby what it has of LIMs that leave its cluster. Only what was
// read back from the kernel counts as removed.
func (a *lims) giveUpLeaving() {
	c := a.cluster()
	if c == nil || c.Standby != a.cfg.Server {
		return
	}
	for _, m := range c.LIMs {
		l := a.of(m.LIM)
		idle := l.State == failover.Stopped || l.State == failover.Failed
		switch {
		case !m.Leaving || !idle || l.alias.holds || l.op != nil:
			l.clear = false
		case !l.clear:
			l.clear = l.clearAlias(m)
		}
	}
}

// clearAlias removes an alias from every interface, blocked until it is gone. It reports whether it
// is.
func (l *lim) clearAlias(m clusterconf.Member) bool {
	here, err := l.deps.Kernel.Addresses("")
	if err != nil {
		l.log.Error("looking whether the alias of a LIM that leaves is gone", "lim", l.number, "err", err)
		return false
	}
	left := slices.DeleteFunc(here, func(x netops.Address) bool { return x.Prefix.Addr() != m.Alias.Addr() })
	for _, x := range left {
		if err := errors.Join(l.deps.Kernel.Block(x.Interface, m.Alias.Addr()), l.deps.Kernel.Drop(x.Interface, x.Prefix)); err != nil {
			l.log.Error("taking off the alias of a LIM that leaves", "lim", l.number, "alias", x.Prefix, "interface", x.Interface, "err", err)
		}
	}
	if len(left) > 0 {
		return false // read back in the next step
	}
	l.alias.forgetBlock(m.Alias)
	return true
}

// lookAtLeaving makes the next step read back again that aliases are gone.
func (a *lims) lookAtLeaving() {
	for _, l := range a.all {
		l.clear = false
	}
}

// mayLeave refuses to take LIMs out of their cluster if that could not be completed, or would
// silently end a service.
func (a *documents) mayLeave(ctx context.Context, r control.LeaveRequest) error {
	_, err := on(ctx, a.core, func() (struct{}, error) {
		now := time.Now()
		c := a.doc.Cluster(r.Cluster)
		if c == nil {
			return struct{}{}, fault.New(fault.Busy, "try again", "%s works by another revision of the cluster document", a.cfg.Server)
		}
		v, own := a.view(now), a.claim(now)
		for _, m := range c.LIMs {
			if len(r.LIMs) > 0 && !slices.Contains(r.LIMs, m.LIM) {
				continue
			}
			if why, hint := failover.MayLeave(v, &own, c, m.LIM, r.Dead); why != "" {
				return struct{}{}, fault.New(fault.Refused, hint, "cannot take LIM %d out of cluster %s: %s", m.LIM, c.Name, why)
			}
		}
		return struct{}{}, nil
	})
	if err != nil || r.Dead == "" {
		return err
	}
	return a.mustBeSilent(ctx, r.Dead)
}

// mustBeSilent refuses to give up a server as lost that still answers for its addresses.
func (a *documents) mustBeSilent(ctx context.Context, server string) error {
	var base netip.Addr
	n, err := on(ctx, a.core, func() (*network, error) {
		s := a.doc.Server(server)
		if s == nil {
			return nil, fault.New(fault.NotFound, "mxcluster server list", "there is no server %q", server)
		}
		base = s.Base.Addr()
		return a.net, nil
	})
	if err != nil {
		return err
	}
	switch mac, inUse, err := a.probe(ctx, n, base, arpbudget.Plain); {
	case err != nil:
		return err
	case inUse:
		return fault.New(fault.Refused, "leave out --server-is-dead, or end that server for good first",
			"%s is given up as lost for good, and %s answers for its base %s", server, mac, base)
	}
	return nil
}
