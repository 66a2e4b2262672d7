package clusterconf

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func drain(server string, until *time.Time) func(*Document) error {
	return func(d *Document) error { return d.DrainServer(server, testTime, "ann", "new disk", until, false) }
}

func freeze(until *time.Time) func(*Document) error {
	return func(d *Document) error { return d.FreezeCluster("c1", testTime, "ann", "new switch", until) }
}

// A drain and a freeze say since when, until when, by whom and why, come back from the
// disk as they were, and go without a trace.
func TestMaintenanceComesAndGoes(t *testing.T) {
	d := uncreated()
	create(d)
	clean := string(Encode(d))
	until := testTime.Add(time.Hour)
	apply(t, d, drain("srv1", &until))
	apply(t, d, freeze(&until))
	back := mustParse(t, string(Encode(d)))
	stop := until.UTC().Truncate(time.Millisecond)
	want := &Maintenance{Since: testTime.UTC().Truncate(time.Millisecond), Until: &stop, By: "ann", Reason: "new disk"}
	if got := back.Server("srv1").Drained; !reflect.DeepEqual(got, want) {
		t.Errorf("drained: %+v, want %+v", got, want)
	}
	want.Reason = "new switch"
	if got := back.Cluster("c1").Frozen; !reflect.DeepEqual(got, want) {
		t.Errorf("frozen: %+v, want %+v", got, want)
	}
	copied := d.Clone()
	*copied.Server("srv1").Drained.Until, *copied.Cluster("c1").Frozen.Until = testTime, testTime
	if !d.Server("srv1").Drained.Until.Equal(stop) || !d.Cluster("c1").Frozen.Until.Equal(stop) {
		t.Error("a copy shares the times")
	}
	apply(t, d, func(d *Document) error { return d.UndrainServer("srv1") })
	apply(t, d, func(d *Document) error { return d.UnfreezeCluster("c1") })
	if got := string(Encode(d)); got != clean {
		t.Errorf("left behind:\n%s", got)
	}
}

// A document that uses no maintenance and no window is written without a word of them.
func TestMaintenanceLeavesOtherDocumentsAlone(t *testing.T) {
	for _, text := range []string{twoLIMs, full} {
		for _, key := range []string{"drained", "frozen", "fallbackWindow"} {
			if strings.Contains(string(Encode(mustParse(t, text))), key) {
				t.Errorf("%s is written", key)
			}
		}
	}
}

// Said again it keeps its beginning, and what is not given anew.
func TestMaintenanceAgain(t *testing.T) {
	hour, two := testTime.Add(time.Hour), testTime.Add(2*time.Hour)
	d := uncreated()
	create(d)
	apply(t, d, drain("srv1", &hour))
	apply(t, d, freeze(&hour))
	later := testTime.Add(time.Minute)
	unchanged(t, d, func(d *Document) error { return d.DrainServer("srv1", later, "bob", "", nil, false) })
	unchanged(t, d, func(d *Document) error { return d.FreezeCluster("c1", later, "bob", "", nil) })
	apply(t, d, func(d *Document) error { return d.DrainServer("srv1", later, "bob", "", &two, false) })
	if m := d.Server("srv1").Drained; !m.Since.Equal(stored(testTime)) || !m.Until.Equal(stored(two)) || m.Reason != "new disk" || m.By != "bob" {
		t.Errorf("got %+v", m)
	}
	// A freeze that is over is none.
	apply(t, d, func(d *Document) error { return d.FreezeCluster("c1", two, "bob", "", nil) })
	if m := d.Cluster("c1").Frozen; !m.Since.Equal(stored(two)) || m.Until != nil || m.Reason != "" {
		t.Errorf("got %+v", m)
	}
}

func TestMaintenanceRefusals(t *testing.T) {
	past := testTime.Add(-time.Second)
	with := func(edits ...func(*Document) error) func(*Document) {
		return func(d *Document) {
			create(d)
			for _, edit := range edits {
				if err := edit(d); err != nil {
					panic(err)
				}
			}
		}
	}
	refusals(t, []editTest{
		{"no such server", create, drain("srv9", nil), fault.NotFound, `there is no server "srv9"`, ""},
		{"in no cluster", create, drain("free1", nil), fault.Refused, "cannot drain server free1: it is in no cluster", "mxcluster list"},
		{"over before it begins", create, drain("srv1", &past), fault.Usage, "the drain of server srv1 would end at", "--for 2h"},
		{"no time", create, func(d *Document) error { return d.DrainServer("srv1", time.Time{}, "", "", nil, false) }, fault.Usage, "has no time at which it begins", ""},
		{"two lines", create, func(d *Document) error { return d.DrainServer("srv1", testTime, "", "a\nb", nil, false) }, fault.Usage, "must be one line each", ""},
		{"locked to it", with(lock(SideRegular, testTime, "ann", "", nil)), drain("srv1", nil), fault.Refused, "cannot drain server srv1: LIM 1 is locked to the regular side", "--move"},
		{"a LIM locked to the standby", with(lock(SideStandby, testTime, "ann", "", nil)), drain("sb1", nil), fault.Refused, "cannot drain server sb1: LIM 1 is locked to the standby side", "--move"},
		{"both sides", with(drain("sb1", nil)), drain("srv1", nil), fault.Refused, "nothing would run its LIMs, for sb1 is drained by ann (new disk)", "server undrain sb1"},
		{"both sides, the other way", with(drain("srv2", nil)), drain("sb1", nil), fault.Refused, "for srv2 is drained", "server undrain srv2"},
		{"frozen", with(freeze(nil)), drain("srv1", nil), fault.Refused, "cannot drain server srv1: cluster c1 is frozen by ann (new switch)", "mxcluster unfreeze c1"},
		{"a lock to a drained server", with(drain("srv1", nil)), lock(SideRegular, testTime, "ann", "", nil), fault.Refused, "cannot lock LIM 1 to regular: srv1 is drained", "server undrain srv1"},
		{"a lock to a drained standby", with(drain("sb1", nil)), lock(SideStandby, testTime, "ann", "", nil), fault.Refused, "cannot lock LIM 1 to standby: sb1 is drained", ""},
		{"freeze: no such cluster", create, func(d *Document) error { return d.FreezeCluster("c9", testTime, "", "", nil) }, fault.NotFound, `there is no cluster "c9"`, ""},
		{"freeze: over before it begins", create, freeze(&past), fault.Usage, "the freeze of cluster c1 would end at", ""},
		{"undrain: no such server", create, func(d *Document) error { return d.UndrainServer("srv9") }, fault.NotFound, "there is no server", ""},
		{"unfreeze: no such cluster", create, func(d *Document) error { return d.UnfreezeCluster("c9") }, fault.NotFound, "there is no cluster", ""},
	})
}

// With the word for it a lock to the drained server goes, and no other one.
func TestDrainTakesLocksOffWhereAsked(t *testing.T) {
	d := uncreated()
	create(d)
	apply(t, d, lock(SideRegular, testTime, "ann", "", nil))
	apply(t, d, func(d *Document) error { return d.LockLIM(2, SideRegular, testTime, "ann", "", nil) })
	apply(t, d, func(d *Document) error { return d.DrainServer("srv1", testTime, "ann", "", nil, true) })
	if c := d.Cluster("c1"); c.Member(1).Lock != nil || c.Member(2).Lock == nil || d.Server("srv1").Drained == nil {
		t.Errorf("locks: %s, %s", c.Member(1).Lock, c.Member(2).Lock)
	}
}

// A freeze ends at its time, a drain does not.
func TestFrozenAt(t *testing.T) {
	end := testTime.Add(time.Hour)
	for _, tc := range []struct {
		name string
		m    *Maintenance
		at   time.Time
		want bool
	}{
		{"none", nil, testTime, false},
		{"without end", &Maintenance{Since: testTime}, testTime.AddDate(1, 0, 0), true},
		{"just before its end", &Maintenance{Until: &end}, end.Add(-1), true},
		{"at its end", &Maintenance{Until: &end}, end, false},
	} {
		c := Cluster{Frozen: tc.m}
		if got := c.FrozenAt(tc.at); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}

// What says that a cluster is frozen or a server drained makes no data version outdated.
func TestMaintenanceOutdatesNoData(t *testing.T) {
	d := uncreated()
	create(d)
	after := d.Clone()
	apply(t, after, drain("srv1", nil))
	apply(t, after, freeze(nil))
	if got := Outdated(d, after); len(got) > 0 {
		t.Errorf("outdated: %v", got)
	}
}

// A LIM that leaves its cluster leaves no drain behind.
func TestLeavingEndsADrain(t *testing.T) {
	d := uncreated()
	create(d)
	apply(t, d, drain("srv1", nil))
	apply(t, d, func(d *Document) error { return d.BeginLeave("c1", "", 1) })
	d.CompleteLeave(1)
	if d.Server("srv1").Drained != nil {
		t.Error("srv1 is drained in no cluster")
	}
}

func TestMaintenanceIsTold(t *testing.T) {
	until := testTime.Add(time.Hour)
	d := uncreated()
	create(d)
	after := d.Clone()
	apply(t, after, drain("srv1", &until))
	apply(t, after, freeze(nil))
	apply(t, after, func(d *Document) error {
		return d.ChangeCluster("c1", ChangeSpec{FallbackWindow: &Window{22 * 60, 5 * 60}})
	})
	want := []string{
		"level: 1 -> 2",
		"server srv1: drained: none -> since 2026-03-01T12:00:00Z until 2026-03-01T13:00:00Z by ann (new disk)",
		"cluster c1: fallback window: always -> 22:00-05:00",
		"cluster c1: frozen: none -> since 2026-03-01T12:00:00Z by ann (new switch)",
	}
	if got := Diff(d, after); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A window says when it is open next, in the time zone that it is asked in, also past
// midnight and where a clock is put forward.
func TestWindowOpens(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, zone) }
	for _, tc := range []struct {
		window    string
		now, want time.Time
	}{
		{"always", at(1, 12, 0), at(1, 12, 0)},
		{"22:00-05:00", at(1, 12, 0), at(1, 22, 0)},
		{"22:00-05:00", at(1, 22, 0), at(1, 22, 0)},
		{"22:00-05:00", at(1, 23, 59), at(1, 23, 59)},
		{"22:00-05:00", at(2, 4, 59), at(2, 4, 59)},
		{"22:00-05:00", at(2, 5, 0), at(2, 22, 0)},
		{"02:00-04:00", at(1, 3, 0), at(1, 3, 0)},
		{"02:00-04:00", at(1, 1, 59), at(1, 2, 0)},
		{"02:00-04:00", at(1, 4, 0), at(2, 2, 0)},
		{"03:30-04:00", at(28, 12, 0), at(29, 3, 30)}, // of the night in which 02:00 becomes 03:00
		{"00:00-00:01", at(1, 12, 0), at(2, 0, 0)},
	} {
		w, err := ParseWindow(tc.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Opens(tc.now); !got.Equal(tc.want) {
			t.Errorf("%s at %s: %s, want %s", tc.window, tc.now, got, tc.want)
		}
		if w.String() != tc.window {
			t.Errorf("%s is written as %s", tc.window, w)
		}
	}
}

func TestWindowRefusals(t *testing.T) {
	for _, text := range []string{"", "22:00", "22-05", "22:00-24:00", "9:00-10:00", "22:00-22:00", "22:00-05:00 ", "22:60-05:00", "-"} {
		if w, err := ParseWindow(text); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v, %v", text, w, err)
		}
	}
	text := strings.Replace(twoLIMs, "splitBrainStop: regular\n", "splitBrainStop: regular\n    fallbackWindow: 22:00\n", 1)
	if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "is not a time of day from one to another") {
		t.Errorf("got %v", err)
	}
}
