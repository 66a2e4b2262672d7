package agent

import (
	"context"
	"maps"
	"reflect"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
)

// When the agent copies data to the other side: not at once, as the backup that made them does so
// itself, and with growing delays after failures.
const (
	syncSettle  = 3 * time.Second // after newer data were found
	syncBusy    = 5 * time.Second // while another process works on the data
	syncFirst   = time.Minute     // after a failure; doubled each time
	syncLongest = 30 * time.Minute
	syncPause   = 10 * time.Second // after a success, until the other side's claim shows it
)

// limSync is the state of synchronising a LIM's data.
type limSync struct {
	running  bool
	due      time.Time // zero: the other side lacks nothing, as far as known
	daily    time.Time // time of the daily sync; zero: the other side is not up
	failures int       // in a row
	last     string    // the newest version here at the last successful sync
}

// SyncRecord is the history of a LIM's syncs on this server, whoever started them.
type SyncRecord struct {
	Good   time.Time // last successful one; zero: none
	Failed string    // why the LIM counts as not synchronised; "": it is
}

// found handles the newest data versions here, and the histories of syncs.
func (a *data) found(found map[int]DataHere, records map[int]SyncRecord, now time.Time) {
	was := a.newest
	a.nothingNew = reflect.DeepEqual(a.here, found) && maps.Equal(a.records, records)
	a.here, a.newest, a.records = found, map[int]*failover.Data{}, records
	for lim, d := range found {
		a.newest[lim] = d.Newest
	}
	for lim, d := range a.newest {
		if d.Replaces(was[lim]) {
			a.arrived(lim, d)
		}
		a.tendSync(lim, d, now)
	}
}

// arrived handles a data version of a LIM that is newer than all before it on this server, wherever
// it comes from, and the newest one at the start.
func (a *data) arrived(lim int, d *failover.Data) {
	a.log.Info("data version", "lim", lim, "version", d.Version, "newest", d.Newest)
}

// tendSync copies the data of a LIM that runs here to the other side, if that is alive and has
// older data or none (spec ch. 3, "after every data backup"), and synchronises the LIM once a day,
// wherever it runs.
func (a *data) tendSync(lim int, d *failover.Data, now time.Time) {
	s := a.syncs[lim]
	if s == nil {
		s = &limSync{}
		a.syncs[lim] = s
	}
	plan := a.planDaily(lim, now)
	if !plan.Equal(s.daily) {
		s.daily, a.nothingNew = plan, false // the others are told
	}
	lacks := d != nil && a.otherLacks(lim, d)
	today := !plan.IsZero() && !now.Before(plan)
	switch {
	case a.deps.Sync == nil || s.running || a.stopping:
	case !lacks && !today:
		s.due = time.Time{}
	case s.due.IsZero() && lacks:
		s.due = now.Add(syncSettle)
	case s.due.IsZero() && a.syncing():
	case s.due.IsZero():
		a.startSync(lim, s)
	case !now.Before(s.due):
		a.startSync(lim, s)
	}
}

// otherLacks reports whether a LIM runs here and the other side, alive, has older data than d, or a
// sync must find that out.
func (a *data) otherLacks(lim int, d *failover.Data) bool {
	l, other := a.lims.all[lim], a.otherSide(lim)
	p := a.peers.all[other]
	if l == nil || l.State != failover.Running || p == nil || p.Liveness != failover.Alive || p.Claim == nil {
		return false
	}
	switch d.Order(p.Claim.LIM(lim).Data) {
	case lineage.Newer:
		return true
	case lineage.Apart: // a sync reports it once
		return !d.Conflict
	case lineage.Unknown: // a sync finds out once
		return a.syncs[lim].last != d.Version
	}
	return false
}

// otherSide returns the server that a LIM may move to from here; "": none.
func (a *data) otherSide(lim int) string {
	c := a.doc.ClusterOfLIM(lim)
	if c == nil {
		return ""
	}
	if c.Standby != a.cfg.Server {
		return c.Standby
	}
	return regularName(a.doc, lim)
}

func regularName(d *clusterconf.Document, lim int) string {
	if r := d.RegularOf(lim); r != nil {
		return r.Name
	}
	return ""
}

// startSync synchronises a LIM beside the main loop.
func (a *data) startSync(lim int, s *limSync) {
	s.running = true
	newest := a.newest[lim]
	a.wg.Go(func() {
		err := a.deps.Sync(a.ctx, lim)
		a.post(func() {
			if err == nil && newest != nil {
				s.last = newest.Version
			}
			a.synced(lim, s, err, time.Now())
		})
	})
}

// synced decides when the next sync is due.
func (a *data) synced(lim int, s *limSync, err error, now time.Time) {
	s.running = false
	switch code := fault.CodeOf(err); {
	case err == nil:
		s.failures, s.due = 0, now.Add(syncPause)
		a.log.Info("data synchronised", "lim", lim)
	case code == fault.Busy:
		s.due = now.Add(syncBusy)
	case a.ctx.Err() != nil:
	default:
		s.due = now.Add(min(syncFirst<<min(s.failures, 8), syncLongest))
		s.failures++
		a.log.Warn("data not synchronised", "lim", lim, "err", err, "again", s.due)
	}
}

// nextSync returns when a LIM is synchronised next, in whole seconds.
func (a *data) nextSync(lim int) time.Time {
	s := a.syncs[lim]
	if s == nil || s.daily.IsZero() {
		return time.Time{}
	}
	return later(s.daily, s.due).UTC().Truncate(time.Second)
}

// behindFor is how long the other side may have older data without an alarm: copying takes time,
// and a failed sync has an alarm of its own.
const behindFor = 30 * time.Minute

// SyncFunc makes the data of a LIM the same on both sides. It may take long.
type SyncFunc func(ctx context.Context, lim int) error
