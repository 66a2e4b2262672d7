package agent

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
)

// When data is copied to the other side by the agent: not at once, for the backup
// that made it does so itself, and after failures ever less often.
const (
	syncSettle  = 3 * time.Second // from the first sight of newer data
	syncBusy    = 5 * time.Second // while another process is at it
	syncFirst   = time.Minute     // after a failure; doubled each time
	syncLongest = 30 * time.Minute
	syncPause   = 10 * time.Second // after a good one, until the other side's claim shows it
)

// limSync is how the data of a LIM stands towards the other side.
type limSync struct {
	running  bool
	due      time.Time // zero: the other side lacks nothing that is known
	failures int       // in a row
	last     string    // the version that was newest here when a sync last went well
}

// dataFound takes in which data versions are newest here, and which LIMs were not
// synchronised as they should, and why.
func (a *Agent) dataFound(found map[int]*failover.Data, late map[int]string, now time.Time) {
	was := a.data
	a.nothingNew = reflect.DeepEqual(was, found) && maps.Equal(a.unsynced, late)
	a.data, a.unsynced = found, late
	for lim, d := range found {
		if d.Replaces(was[lim]) {
			a.dataArrived(lim, d)
		}
		a.syncData(lim, d, now)
	}
}

// dataArrived is told of a data version of a LIM that is newer than all before it
// on this server, whoever made or brought it, and of the newest one at the start.
func (a *Agent) dataArrived(lim int, d *failover.Data) {
	a.log.Info("data version", "lim", lim, "version", d.Version, "newest", d.Newest)
}

// syncData copies the data of a LIM that runs here to the other side, when that
// is alive and has older data or none (spec ch. 3, "after every data backup").
func (a *Agent) syncData(lim int, d *failover.Data, now time.Time) {
	s := a.syncs[lim]
	if s == nil {
		s = &limSync{}
		a.syncs[lim] = s
	}
	switch {
	case a.deps.Sync == nil || s.running || a.stopping:
	case d == nil || !a.otherLacks(lim, d):
		s.due = time.Time{}
	case s.due.IsZero():
		s.due = now.Add(syncSettle)
	case !now.Before(s.due):
		a.startSync(lim, s)
	}
}

// otherLacks reports whether a LIM runs here and the other side, alive, has older data
// than d, or whether that is to be found out.
func (a *Agent) otherLacks(lim int, d *failover.Data) bool {
	l, other := a.lims[lim], a.otherSide(lim)
	p := a.peers[other]
	if l == nil || l.state != failover.Running || p == nil || p.liveness != failover.Alive || p.claim == nil {
		return false
	}
	switch d.Order(p.claim.LIM(lim).Data) {
	case lineage.Newer:
		return true
	case lineage.Apart: // a sync tells it, once
		return !d.Conflict
	case lineage.Unknown: // a sync finds out, once
		return a.syncs[lim].last != d.Version
	}
	return false
}

// otherSide names the server that a LIM of a cluster may move to from here; "".
func (a *Agent) otherSide(lim int) string {
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
func (a *Agent) startSync(lim int, s *limSync) {
	s.running = true
	newest := a.data[lim]
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

// synced decides when to try again.
func (a *Agent) synced(lim int, s *limSync, err error, now time.Time) {
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

// SyncFunc makes the data of a LIM the same on both sides. It may take long.
type SyncFunc func(ctx context.Context, lim int) error

// syncConditions tells of the data of a LIM of a cluster that was not synchronised
// as it should (spec, "Standby Cluster has Failed to Synchronize Data"). It is
// about the standby, whichever side says so: both mean the same alarm.
func (a *Agent) syncConditions(c *clusterconf.Cluster, lim int) []alarms.Condition {
	why := a.unsynced[lim]
	if why == "" {
		return nil
	}
	return []alarms.Condition{{Name: alarms.SyncFailed, Severity: alarms.Warning, LIM: lim, Server: c.Standby,
		Text: fmt.Sprintf("the data of LIM %d was not synchronised with %s: %s", lim, c.Standby, why)}}
}
