package agent

import (
	"hash/fnv"
	"math"
	"time"

	"mxcluster/internal/failover"
)

// The daily sync of each LIM (spec ch. 3, "once every 24-hour period"): at a time of
// the night of its own, by the standby's agent, and a little later by the regular
// server's if that had not come about by then.
const (
	nightBegins = time.Hour          // after midnight, local time
	nightSpread = 210 * time.Minute  // in which the LIMs of a system are spread
	nightSecond = 20 * time.Minute   // by which the regular server is later
	nightCounts = 30 * time.Minute   // a sync that was good so shortly before counts as the night's
	nightDay    = 24 * time.Hour     // the longest time from one good sync to the next
	missedAfter = time.Minute        // a night that was missed is made up so long after both sides are there ...
	missedIn    = 9 * time.Minute    // ... and within so long, each LIM at a time of its own
	goldenRatio = 0.6180339887498949 // its multiples are spread evenly, however many there are
	hashRange   = float64(math.MaxUint32)
)

// daily is what the time of a LIM's next daily sync follows from.
type daily struct {
	now    time.Time // in the zone whose nights count
	good   time.Time // of the last good sync, whoever started it; zero: none is known of
	able   time.Time // since when both sides are there
	system string    // identity of the system, so that several spread over the night, too
	lim    int
	second bool // whether this server leaves it to the other one first
}

// next returns when the LIM is to be synchronised; the past means at once. A last sync
// that lies ahead was noted by a clock that was wrong, and is none.
func (d daily) next() time.Time {
	good := d.good
	if good.IsZero() || good.After(d.now) {
		good = d.now.Add(-2 * nightDay)
	}
	at := d.slotAfter(good.Add(nightCounts))
	if limit := good.Add(nightDay + d.later()); at.After(limit) {
		at = limit // a night with an hour more
	}
	if at.Before(d.able) {
		at = d.able.Add(missedAfter + time.Duration(d.turn()*float64(missedIn)) + d.later())
	}
	return at
}

// slotAfter is the LIM's next time of a night after t.
func (d daily) slotAfter(t time.Time) time.Time {
	minutes := int((nightBegins + time.Duration(d.turn()*float64(nightSpread)) + d.later()) / time.Minute)
	year, month, day := t.In(d.now.Location()).Date()
	for day--; ; day++ {
		// By the clock on the wall, also where that is put forward or back.
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

// turn is the LIM's place in the night, from 0 to 1.
func (d daily) turn() float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.system)) // it never fails
	_, part := math.Modf(float64(h.Sum32())/hashRange + float64(d.lim)*goldenRatio)
	return part
}

// planDaily decides when a LIM is next synchronised because a day has passed; zero
// where nobody is there to do so with.
func (a *data) planDaily(lim int, now time.Time) time.Time {
	p := a.peers.all[a.otherSide(lim)]
	if a.deps.Sync == nil || p == nil || p.Liveness != failover.Alive {
		return time.Time{}
	}
	d := daily{now: now.Local(), good: a.records[lim].Good, able: later(a.started, p.Since), system: a.doc.System, lim: lim,
		second: a.doc.ClusterOfLIM(lim).Standby != a.cfg.Server}
	return d.next()
}

// syncing reports whether data is being synchronised: one LIM after the other is soon
// enough for what is due every day.
func (a *data) syncing() bool {
	for _, s := range a.syncs {
		if s.running {
			return true
		}
	}
	return false
}
