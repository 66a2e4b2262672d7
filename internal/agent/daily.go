package agent

import (
	"hash/fnv"
	"math"
	"time"

	"mxcluster/internal/failover"
)

// The daily sync of each LIM (spec ch. 3, "once every 24-hour period"): at a time of the night of
// its own, by the standby's agent; by the regular server's a little later, if it has not happened
// by then.
const (
	nightBegins = time.Hour          // after midnight, local time
	nightSpread = 210 * time.Minute  // period over which the LIMs of a system are spread
	nightSecond = 20 * time.Minute   // delay of the regular server
	nightCounts = 30 * time.Minute   // a successful sync that shortly before counts as the night's
	nightDay    = 24 * time.Hour     // longest time from one successful sync to the next
	missedAfter = time.Minute        // a missed night is made up this long after both sides are up ...
	missedIn    = 9 * time.Minute    // ... and within this time, each LIM at its own moment
	goldenRatio = 0.6180339887498949 // multiples of it, modulo 1, are spread evenly
	hashRange   = float64(math.MaxUint32)
)

// daily is the input for the time of a LIM's next daily sync.
type daily struct {
	now    time.Time // in the time zone of the nights
	good   time.Time // of the last successful sync, whoever started it; zero: none is known
	able   time.Time // since when both sides are up
	system string    // ID of the system, so that several systems are spread over the night, too
	lim    int
	second bool // this server waits for the other side to start the sync
}

// next returns when the LIM is to be synchronised; a time in the past means now. A last sync in the
// future was recorded with a wrong clock and is ignored.
func (d daily) next() time.Time {
	good := d.good
	if good.IsZero() || good.After(d.now) {
		good = d.now.Add(-2 * nightDay)
	}
	at := d.slotAfter(good.Add(nightCounts))
	if limit := good.Add(nightDay + d.later()); at.After(limit) {
		at = limit // a night with an extra hour
	}
	if at.Before(d.able) {
		at = d.able.Add(missedAfter + time.Duration(d.position()*float64(missedIn)) + d.later())
	}
	return at
}

// slotAfter returns the LIM's next nightly time after t.
func (d daily) slotAfter(t time.Time) time.Time {
	minutes := int((nightBegins + time.Duration(d.position()*float64(nightSpread)) + d.later()) / time.Minute)
	year, month, day := t.In(d.now.Location()).Date()
	for day--; ; day++ {
		// By local time, also when clocks change.
		if at := time.Date(year, month, day, 0, minutes, 0, 0, d.now.Location()); at.After(t) {
			return at
		}
	}
}

func (d daily) later() time.Duration {
	if d.second {
		return nightSecond
	}
	return 0
}

// position is the LIM's place in the night, from 0 to 1.
func (d daily) position() float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.system)) // it never fails
	_, part := math.Modf(float64(h.Sum32())/hashRange + float64(d.lim)*goldenRatio)
	return part
}

// planDaily returns the time of a LIM's next daily sync; zero if no other side is up.
func (a *data) planDaily(lim int, now time.Time) time.Time {
	p := a.peers.all[a.otherSide(lim)]
	if a.deps.Sync == nil || p == nil || p.Liveness != failover.Alive {
		return time.Time{}
	}
	d := daily{now: now.Local(), good: a.records[lim].Good, able: later(a.started, p.Since), system: a.doc.System, lim: lim,
		second: a.doc.ClusterOfLIM(lim).Standby != a.cfg.Server}
	return d.next()
}

// syncing reports whether a sync is running. Daily syncs run one at a time.
func (a *data) syncing() bool {
	for _, s := range a.syncs {
		if s.running {
			return true
		}
	}
	return false
}
