package rehearsal

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

func pair() *clusterconf.Cluster {
	return &clusterconf.Cluster{Name: "c1", Standby: "sb1", Failover: clusterconf.FailoverNormal, Rehearse: clusterconf.RehearseNightly,
		LIMs: []clusterconf.Member{{LIM: 1}, {LIM: 2}}}
}

func TestOnlyAFreeStandbyRehearses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(s *Standby)
		want   string
	}{
		{"free", func(*Standby) {}, ""},
		{"a regular server", func(s *Standby) { s.Server.Name = "srv1" }, "standby of no cluster"},
		{"in no document", func(s *Standby) { s.Server = nil }, "standby of no cluster"},
		{"not root", func(s *Standby) { s.Able = false }, "not root, and cannot confine"},
		{"stopping", func(s *Standby) { s.Stopping = true }, "stopping"},
		{"just started", func(s *Standby) { s.Settled = false }, "just started"},
		{"isolated", func(s *Standby) { s.Isolated = true }, "hears nobody"},
		{"drained", func(s *Standby) { s.Server.Drained = &clusterconf.Maintenance{} }, "drained"},
		{"preloaded", func(s *Standby) { s.Cluster.Failover = clusterconf.FailoverPreloaded }, "loaded all the time"},
		{"taken", func(s *Standby) { s.Busy = map[int]string{2: "running"} }, "LIM 2 is running"},
		{"a LIM of no concern", func(s *Standby) { s.Busy = map[int]string{3: "running"} }, ""},
	} {
		s := Standby{Server: &clusterconf.Server{Name: "sb1", Standby: true}, Cluster: pair(), Settled: true, Able: true}
		tc.change(&s)
		if got := s.Hindrance(); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestALIMWithoutSoftwareOnTheStandbyIsSkipped(t *testing.T) {
	entry := &clusterconf.LIM{Number: 1, Services: []clusterconf.Service{{Run: "exec:/x", RegularOnly: true}}}
	if Skips(clusterconf.Member{LIM: 1}, nil) == "" || Skips(clusterconf.Member{LIM: 1}, entry) == "" {
		t.Error("it is not skipped")
	}
	entry.Services = append(entry.Services, clusterconf.Service{Run: "exec:/y"})
	if why := Skips(clusterconf.Member{LIM: 1}, entry); why != "" {
		t.Errorf("it is skipped: %s", why)
	}
	if Skips(clusterconf.Member{LIM: 1, Leaving: true}, entry) == "" {
		t.Error("a LIM that leaves is not skipped")
	}
}

func TestEachLIMIsRehearsedOnceANight(t *testing.T) {
	zone := time.FixedZone("", 5*3600)
	evening := time.Date(2026, 3, 1, 20, 0, 0, 0, zone)
	begins, ends := Night("c1", evening)
	if begins.Day() != 2 || begins.Hour() < 1 || begins.Hour() > 3 || ends.Sub(begins) != nightLasts {
		t.Fatalf("the night is from %s to %s", begins, ends)
	}
	c, last := pair(), map[int]failover.Rehearsal{}
	done := func(lim int, r failover.RehearsalResult, at time.Time) {
		last[lim] = failover.Rehearsal{Result: r, At: at}
	}
	due := func(what string, now time.Time, want int) {
		t.Helper()
		if got := Due(c, last, now); got != want {
			t.Errorf("%s: LIM %d is due, want %d", what, got, want)
		}
	}
	due("evening", evening, 0)
	due("night", begins, 1)
	done(1, failover.RehearsalFailed, begins.Add(time.Minute))
	due("after the first", begins.Add(2*time.Minute), 2)
	done(2, failover.RehearsalAborted, begins.Add(3*time.Minute))
	due("just aborted", begins.Add(4*time.Minute), 0)
	due("aborted a while ago", begins.Add(9*time.Minute), 2)
	done(2, failover.RehearsalSkipped, begins.Add(9*time.Minute))
	due("after the last", begins.Add(20*time.Minute), 0)
	due("the next day", ends, 0)
	due("the next night", begins.Add(24*time.Hour), 1)
	c.Rehearse = clusterconf.RehearseOff
	due("off", begins.Add(24*time.Hour), 0)
}

func TestNightsAreSpreadOverClusters(t *testing.T) {
	now, seen := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), map[time.Time]bool{}
	for _, name := range []string{"c1", "c2", "c3", "north", "south"} {
		begins, _ := Night(name, now)
		again, _ := Night(name, begins.Add(time.Hour))
		if !again.Equal(begins) {
			t.Errorf("%s: in the night it begins at %s, before at %s", name, again, begins)
		}
		seen[begins] = true
	}
	if len(seen) != 5 {
		t.Errorf("five clusters begin at %d times", len(seen))
	}
}
