package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // whatever zones the machine knows

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

func zones(t *testing.T) []*time.Location {
	t.Helper()
	var out []*time.Location
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, loc)
	}
	return out
}

// The LIMs of a system are spread over the night, the regular server comes later, and
// another system has other times.
func TestNightIsShared(t *testing.T) {
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	var at []time.Time
	for lim := 1; lim <= 10; lim++ {
		d := daily{now: noon, good: noon, system: "5k2j9x", lim: lim}
		slot := d.next()
		if slot.Hour() < 1 || slot.Hour() >= 5 || slot.Sub(noon) > 24*time.Hour {
			t.Errorf("LIM %d: %s", lim, slot)
		}
		at = append(at, slot)
		if d.second = true; d.next().Sub(slot) != nightSecond {
			t.Errorf("LIM %d: the regular server at %s, the standby at %s", lim, d.next(), slot)
		}
		if d.system = "other"; d.next().Equal(slot.Add(nightSecond)) {
			t.Errorf("LIM %d: two systems at %s", lim, slot)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := 1; i < len(at); i++ {
		if at[i].Sub(at[i-1]) < 5*time.Minute {
			t.Errorf("%s and %s", at[i-1], at[i])
		}
	}
}

// Whatever the zone, the day and the last sync: the next one comes within a day of that,
// in the night unless it was missed, and at once when the clock was wrong.
func TestNextDailySync(t *testing.T) {
	rnd := rand.New(rand.NewPCG(20, 8))
	all := zones(t)
	for range 20_000 {
		now := time.Unix(1_600_000_000+rnd.Int64N(600_000_000), 0).In(all[rnd.IntN(len(all))])
		d := daily{now: now, able: now.Add(-time.Duration(rnd.Int64N(int64(100 * 24 * time.Hour)))), lim: 1 + rnd.IntN(250),
			system: "5k2j9x", second: rnd.IntN(2) == 0}
		switch rnd.IntN(4) {
		case 0: // never
		case 1:
			d.good = now.Add(time.Duration(rnd.Int64N(int64(1000 * 24 * time.Hour)))).UTC() // the clock was put back
		default:
			d.good = now.Add(-time.Duration(rnd.Int64N(int64(40 * time.Hour)))).UTC()
		}
		next := d.next()
		made := d.good
		if made.After(now) || made.IsZero() {
			made = now.Add(-2 * nightDay)
			if next.After(now) && next.After(d.able.Add(missedAfter+missedIn+nightSecond)) {
				t.Fatalf("%+v: nothing is known, and it waits until %s", d, next)
			}
		}
		latest := made.Add(nightDay + nightSecond)
		if missed := d.able.Add(missedAfter + missedIn + nightSecond); missed.After(latest) {
			latest = missed
		}
		inNight := next.In(now.Location()).Hour() >= 1 && next.In(now.Location()).Hour() < 6
		if next.After(latest) || next.Before(made) || next.Before(d.able) || !inNight && next.Before(made.Add(nightDay-time.Hour)) && next.After(d.able.Add(missedAfter+missedIn+nightSecond)) {
			t.Fatalf("%+v: next at %s", d, next)
		}
		if again := d.next(); !again.Equal(next) {
			t.Fatalf("%+v: %s, then %s", d, next, again)
		}
	}
}

// A year of nights: one sync for each, at one time of the clock on the wall, with
// servers that are away, backups by day and clocks that are put.
func TestYearOfNights(t *testing.T) {
	for _, loc := range zones(t) {
		rnd := rand.New(rand.NewPCG(7, 7))
		now := time.Date(2026, 1, 1, 12, 0, 0, 0, loc)
		d := daily{able: now, system: "x", lim: 3}
		syncs := 0
		for range 365 * 24 * 4 {
			now = now.Add(15 * time.Minute)
			switch rnd.IntN(2000) {
			case 0:
				now = now.Add(-3 * time.Hour) // the clock is put back
			case 1:
				d.able = now.Add(time.Duration(rnd.IntN(30)) * time.Hour) // the other side goes away
			case 2:
				d.good = now // a backup
			}
			if d.able.After(now) {
				continue
			}
			if d.now = now; !d.next().After(now) {
				d.good, syncs = now, syncs+1
			}
			longest := nightDay + time.Hour
			if now.Sub(d.good) > longest && now.Sub(d.able) > time.Hour {
				t.Fatalf("%s: last good one at %s", now, d.good)
			}
		}
		if syncs < 350 || syncs > 400 {
			t.Errorf("%s: %d syncs in a year", loc, syncs)
		}
	}
}

// nights are the syncs of a world whose records the sides share, as theirs are noted on
// both; from is who made the last good one.
type nights struct {
	mu   sync.Mutex
	good map[int]time.Time
	from map[int]string
	fail map[string]error
}

func (w *world) nights() *nights {
	n := &nights{good: map[int]time.Time{}, from: map[int]string{}, fail: map[string]error{}}
	for name, m := range w.servers {
		m.good = func(lim int) time.Time {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.good[lim]
		}
		m.sync = func(_ context.Context, lim int) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.fail[name] == nil {
				n.good[lim], n.from[lim] = time.Now(), name
			}
			return n.fail[name]
		}
	}
	return n
}

func (n *nights) set(good time.Time, fail map[string]error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.good, n.from, n.fail = map[int]time.Time{1: good, 2: good}, map[int]string{}, fail
}

func (n *nights) want(t *testing.T, when string, want map[int]string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(want, n.from); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// inSlowWorld is a world that counts nobody as gone for long: hours of it are cheap.
func inSlowWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Clusters[0].FailoverAfter = clusterconf.Duration(30 * time.Second)
		w := newWorldOf(t, doc)
		w.adjust = func(c *Config) { c.Lease, c.CheckInterval = time.Minute, time.Minute }
		defer w.close()
		f(w)
	})
}

// The standby does it, the regular server where that fails; what was missed is made up
// once both are there; a sync of others counts; status says when the next one is.
func TestDailySyncOfAgents(t *testing.T) {
	inSlowWorld(t, func(w *world) {
		n := w.nights()
		w.servers["srv1"].setData(version(0))
		w.servers["sb1"].setData(version(0))
		w.settled()
		pass(30 * time.Second)
		n.want(t, "at once", map[int]string{})
		at := w.status("srv1").Clusters[0].LIMs[0].Data.NextSyncAt
		if left := time.Until(*at); left < 0 || left > 11*time.Minute {
			t.Errorf("the next one is in %s", left)
		}
		pass(11 * time.Minute)
		n.want(t, "what was missed", map[int]string{1: "sb1", 2: "sb1"})
		if at := w.status("sb1").Clusters[0].LIMs[0].Data.NextSyncAt; time.Until(*at) < time.Minute || time.Until(*at) > nightDay {
			t.Errorf("then the next one is at %s", at)
		}

		n.set(time.Now().Add(-23*time.Hour), map[string]error{"sb1": fault.New(fault.Unreachable, "", "no login")})
		w.powerCut("srv1")
		w.await(1, "sb1", 2*time.Minute)
		n.set(time.Now().Add(-30*time.Hour), map[string]error{"sb1": fault.New(fault.Unreachable, "", "no login")})
		pass(5 * time.Minute)
		if st := w.status("sb1").Clusters[0].LIMs[0].Data; st.NextSyncAt != nil {
			t.Errorf("the next one is at %s, with nobody", st.NextSyncAt)
		}
		w.boot("srv1")
		pass(32 * time.Minute)
		n.want(t, "where the standby cannot", map[int]string{1: "srv1", 2: "srv2"})
	})
}

// One alarm for one cause: a conflict is no failed sync, and data that is behind is
// told when nothing else explains it.
func TestDataAlarms(t *testing.T) {
	inSlowWorld(t, func(w *world) {
		w.settled()
		set := func(server, why string) {
			m := w.servers[server]
			m.mu.Lock()
			defer m.mu.Unlock()
			m.late = why
		}
		mine := version(0)
		mine.Conflict = true
		w.servers["srv1"].setData(mine)
		set("srv1", "neither follows the other")
		w.awaitAlarms(5*time.Second, "data-conflict lim 1 sb1 warning")
		w.servers["srv1"].setData(nil)
		set("srv1", "no answer")
		w.awaitAlarms(5*time.Second, "sync-failed lim 1 sb1 warning")
		set("srv1", "")
		w.awaitAlarms(5 * time.Second)

		w.servers["srv1"].setData(version(1)) // nothing brings it to the other side
		pass(behindFor - time.Minute)
		w.awaitAlarms(0)
		pass(2 * time.Minute)
		w.awaitAlarms(0, "data-behind lim 1 sb1 warning")
		set("srv1", "no answer")
		w.awaitAlarms(5*time.Second, "sync-failed lim 1 sb1 warning")
		set("srv1", "")
		w.servers["sb1"].setData(version(1 - int(behindFor/time.Minute) - 1))
		w.servers["srv1"].setData(version(0 - int(behindFor/time.Minute) - 1))
		w.awaitAlarms(5 * time.Second)
	})
}

func TestConflictAlarmNamesTheRemedy(t *testing.T) {
	c := &core{doc: worldDocument(manual)}
	a := &Agent{core: c, lims: &lims{}, peers: &peers{}, data: &data{core: c, peers: &peers{}, newest: map[int]*failover.Data{7: {Version: "v", Conflict: true}}}}
	got := (&conditions{a}).notInSync(&a.doc.Clusters[0], 7)
	if len(got) != 1 || got[0].Name != alarms.DataConflict || !strings.Contains(got[0].Text, "mxcluster sync --lim 7 --keep regular|standby") {
		t.Errorf("%+v", got)
	}
}
