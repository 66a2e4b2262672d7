package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/rehearsal"
)

// rehearsals are trials of LIM software on this standby, one at a time. They are not part of the
// claim and have no term: for decisions, a standby with a rehearsal is free. They are owned by the
// main loop.
type rehearsals struct {
	*core
	kept *keptState
	lims *lims
	link *link

	all    map[int]rehearsed // by LIM: the result of the last one
	orders []control.Order   // to be carried out
	trial  *trial            // in progress; nil: none is
	stale  bool              // software of an earlier run's rehearsal may be present
	left   int               // LIM of that rehearsal; 0: unknown, or none
	ending chan struct{}     // closed when nothing of any rehearsal is left; nil: none is being ended
}

// rehearsed is what is stored about a LIM's rehearsals.
type rehearsed struct {
	failover.Rehearsal
	Failure string `json:"failure,omitempty"` // of the last one that was not aborted; "": it succeeded
	Allowed bool   `json:"allowed,omitempty"` // the document permitted rehearsals at that time
}

// trial is a rehearsal in progress.
type trial struct {
	lim     int
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended and starts nothing any more
	aborted string        // why it is aborted; "": it is not
}

// rehearsalEnd bounds the wait for the end of a rehearsal. Confined software reaches nobody, so a
// LIM is started even if it has not ended.
const rehearsalEnd = time.Second

// lookAtStart ends what an earlier run of the agent may have left.
func (r *rehearsals) lookAtStart(lim int, all map[int]rehearsed) {
	r.all = map[int]rehearsed{}
	for n, x := range all {
		r.all[n] = x
	}
	r.stale, r.left = true, lim
	r.clear("the agent that began it has ended")
}

// standby is the state of this server, for package rehearsal.
func (r *rehearsals) standby() *rehearsal.Standby {
	s := &rehearsal.Standby{Server: r.doc.Server(r.cfg.Server), Cluster: r.cluster(), Settled: r.settled, Stopping: r.stopping,
		Able: r.deps.Rehearse != nil, Isolated: r.link.isolation.Isolated, Busy: map[int]string{}}
	for n, l := range r.lims.all {
		switch {
		case l.State.Active() || l.State == failover.Stopping || l.op != nil:
			s.Busy[n] = string(l.State)
		case l.software.up:
			s.Busy[n] = "not stopped yet"
		}
	}
	return s
}

// tend starts the next rehearsal, or aborts the one in progress if this standby is not free any
// more.
func (r *rehearsals) tend(now time.Time) {
	if r.deps.Rehearse == nil {
		return
	}
	why := r.standby().Hindrance()
	switch {
	case r.trial != nil && why != "":
		r.clear(why)
	case r.trial != nil || r.ending != nil || why != "":
	default:
		if lim := r.next(now); lim != 0 {
			r.begin(lim)
		}
	}
}

// next returns the LIM to rehearse; orders come first.
func (r *rehearsals) next(now time.Time) int {
	c := r.cluster()
	r.orders = slices.DeleteFunc(r.orders, func(o control.Order) bool { return c.Member(o.LIM) == nil })
	if len(r.orders) > 0 {
		o := r.orders[0]
		r.orders = r.orders[1:]
		return o.LIM
	}
	last := make(map[int]failover.Rehearsal, len(r.all))
	for n, x := range r.all {
		last[n] = x.Rehearsal
	}
	return rehearsal.Due(c, last, now)
}

// begin rehearses a LIM. The state file says so before anything is started.
func (r *rehearsals) begin(lim int) {
	member, entry := *r.cluster().Member(lim), r.doc.LIM(lim)
	if why := rehearsal.Skips(member, entry); why != "" {
		r.note(lim, failover.Rehearsal{At: time.Now().UTC(), Result: failover.RehearsalSkipped, Text: why}, false)
		return
	}
	self := r.doc.Server(r.cfg.Server)
	spec := rehearsal.Spec{LIM: *entry, Server: self.Name, Interface: self.Interface, Alias: member.Alias, Base: self.Base, Healthy: rehearsal.Healthy, Every: r.cfg.CheckInterval}
	ctx, cancel := context.WithCancel(r.ctx)
	t := &trial{lim: lim, cancel: cancel, done: make(chan struct{})}
	r.trial = t
	saved := r.kept.saveBegin()
	r.log.Info("rehearsing", "lim", lim)
	r.wg.Go(func() {
		result, err := failover.Rehearsal{}, saved()
		if err == nil {
			here := r.deps.Data(lim)
			if spec.XData = here.Path; here.Newest != nil {
				spec.Version = here.Newest.Version
			}
			result, err = r.deps.Rehearse(ctx, spec)
		}
		cancel()
		close(t.done)
		if err != nil {
			result = failover.Rehearsal{Version: spec.Version, Result: failover.RehearsalSkipped, Text: err.Error()}
		}
		r.post(func() { r.ended(t, entry.Rehearsable, result) })
	})
}

// ended records the result of a rehearsal.
func (r *rehearsals) ended(t *trial, allowed bool, result failover.Rehearsal) {
	r.trial = nil
	if t.aborted != "" {
		result.Result, result.StartMs, result.Text = failover.RehearsalAborted, 0, t.aborted
	}
	result.At = time.Now().UTC()
	r.note(t.lim, result, allowed)
}

// note stores and reports the result of a rehearsal.
func (r *rehearsals) note(lim int, result failover.Rehearsal, allowed bool) {
	x := rehearsed{Rehearsal: result, Allowed: allowed}
	switch result.Result {
	case failover.RehearsalFailed:
		x.Failure = cmp.Or(result.Text, "it failed")
	case failover.RehearsalAborted:
		x.Failure, x.Allowed = r.all[lim].Failure, r.all[lim].Allowed
	case failover.RehearsalOK:
		r.lims.of(lim).tookToStart = time.Duration(result.StartMs) * time.Millisecond
	}
	r.all[lim] = x
	r.journal.rehearsal(lim, result)
	r.kept.saveBeside()
}

// clear ends all software of rehearsals. It returns a channel that is closed when that is gone;
// nil: there is none.
func (r *rehearsals) clear(why string) <-chan struct{} {
	switch {
	case r.ending != nil:
		return r.ending
	case r.trial == nil && !r.stale || r.deps.EndRehearsals == nil:
		return nil
	}
	var done <-chan struct{}
	if t := r.trial; t != nil {
		t.aborted = why
		t.cancel()
		done = t.done
	}
	ch, left := make(chan struct{}), r.left
	r.ending = ch
	r.wg.Go(func() {
		err := r.deps.EndRehearsals(rehearsalEnd)
		if done != nil { // it may be about to start something
			select {
			case <-done:
				err = r.deps.EndRehearsals(rehearsalEnd)
			case <-time.After(rehearsalEnd):
				r.log.Warn("a rehearsal is slow to end; it is left behind", "limit", rehearsalEnd)
			}
		}
		if err != nil {
			r.log.Error("ending a rehearsal", "err", err)
		}
		close(ch)
		r.post(func() {
			r.ending, r.stale, r.left = nil, false, 0
			if left != 0 && err == nil {
				r.note(left, failover.Rehearsal{At: time.Now().UTC(), Result: failover.RehearsalAborted, Text: why}, false)
			}
		})
	})
	return ch
}

// underWay returns the LIM of which rehearsed processes may be present; 0: none.
func (r *rehearsals) underWay() int {
	if r.trial != nil {
		return r.trial.lim
	}
	return r.left
}

// order accepts an order to rehearse a LIM.
func (r *rehearsals) order(o control.Order) (*control.OrderResult, error) {
	c := r.cluster()
	if why := r.standby().Hindrance(); why != "" {
		return nil, fault.New(fault.Refused, "look at `mxcluster status`", "LIM %d cannot be rehearsed now: %s", o.LIM, why)
	}
	if why := rehearsal.Skips(*c.Member(o.LIM), r.doc.LIM(o.LIM)); why != "" {
		return nil, fault.New(fault.Refused, "", "LIM %d is not rehearsed: %s", o.LIM, why)
	}
	res := &control.OrderResult{Accepted: !o.DryRun, Target: r.cfg.Server, Text: fmt.Sprintf("LIM %d is rehearsed on %s", o.LIM, r.cfg.Server)}
	queued := slices.ContainsFunc(r.orders, func(q control.Order) bool { return q.LIM == o.LIM })
	switch {
	case o.DryRun:
		res.Text = fmt.Sprintf("LIM %d would be rehearsed on %s", o.LIM, r.cfg.Server)
	case queued || r.trial != nil && r.trial.lim == o.LIM:
		res.Already = true
	default:
		r.journal.order(o, r.cfg.Server)
		r.orders = append(r.orders, o)
	}
	return res, nil
}

// wholeMs returns a duration in milliseconds, rounded up.
func wholeMs(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }

// of returns the last rehearsal of a LIM; nil: there was none here.
func (r *rehearsals) of(lim int) *failover.Rehearsal {
	x, ok := r.all[lim]
	if c := r.cluster(); !ok || c == nil || c.Standby != r.cfg.Server {
		return nil
	}
	return &x.Rehearsal
}

// rehearsalFailed returns the LIMs whose software did not come up in a rehearsal. The condition
// ends with a successful one, or when rehearsals are not permitted any more.
func (a *conditions) rehearsalFailed(c *clusterconf.Cluster) []alarms.Condition {
	var out []alarms.Condition
	for _, m := range c.LIMs {
		x, entry := a.rehearsals.all[m.LIM], a.doc.LIM(m.LIM)
		if x.Failure == "" || entry == nil || x.Allowed && !entry.Rehearsable {
			continue
		}
		out = append(out, alarms.Condition{Name: alarms.RehearsalFailed, Severity: alarms.Warning, LIM: m.LIM, Server: a.cfg.Server,
			Text: fmt.Sprintf("the rehearsal of LIM %d on %s failed: %s", m.LIM, a.cfg.Server, x.Failure)})
	}
	return out
}
