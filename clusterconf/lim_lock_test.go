package clusterconf

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func lock(to Side, since time.Time, by, reason string, expires *time.Time) func(*Document) error {
	return func(d *Document) error { return d.LockLIM(1, to, since, by, reason, expires) }
}

func TestLockLIM(t *testing.T) {
	d := uncreated()
	create(d)
	expires := testTime.Add(2 * time.Hour).In(time.FixedZone("", 3600))
	apply(t, d, lock(SideRegular, testTime.In(time.Local), "ann", "reboot", &expires))
	utc := time.Date(2026, 3, 1, 14, 0, 0, 123e6, time.UTC)
	want := &Lock{To: SideRegular, Since: time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC), By: "ann", Reason: "reboot", Expires: &utc}
	if got := d.Cluster("c1").Member(1).Lock; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	expires = testTime
	if !d.Cluster("c1").Member(1).Lock.Expires.Equal(utc) {
		t.Error("the document shares the caller's time")
	}
	if back := mustParse(t, string(Encode(d))); !reflect.DeepEqual(back.Cluster("c1").Member(1).Lock, want) {
		t.Errorf("came back as %+v", back.Cluster("c1").Member(1).Lock)
	}
	apply(t, d, func(d *Document) error { return d.UnlockLIM(1) })
	if got := d.Cluster("c1").Member(1).Lock; got != nil {
		t.Errorf("got %+v", got)
	}
}

// Locking what is locked to the same side keeps the lock where nothing else is
// asked for.
func TestLockLIMAgain(t *testing.T) {
	hour, later := testTime.Add(time.Hour), testTime.Add(time.Minute)
	tests := []struct {
		name    string
		first   func(*Document) error
		again   func(*Document) error
		changes bool
	}{
		{"by another, later", lock(SideRegular, testTime, "ann", "a", nil), lock(SideRegular, later, "bob", "", nil), false},
		{"same reason", lock(SideRegular, testTime, "ann", "a", nil), lock(SideRegular, later, "bob", "a", nil), false},
		{"same end", lock(SideRegular, testTime, "ann", "a", &hour), lock(SideRegular, later, "ann", "", &hour), false},
		{"another reason", lock(SideRegular, testTime, "ann", "a", nil), lock(SideRegular, later, "bob", "b", nil), true},
		{"no end named", lock(SideRegular, testTime, "ann", "a", &hour), lock(SideRegular, later, "ann", "", nil), false},
		{"now with an end", lock(SideRegular, testTime, "ann", "a", nil), lock(SideRegular, later, "ann", "", &hour), true},
		{"expired", lock(SideRegular, testTime, "ann", "a", &later), lock(SideRegular, hour, "ann", "", nil), true},
		{"expired, to the other side", lock(SideRegular, testTime, "ann", "a", &later), lock(SideStandby, hour, "ann", "", nil), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := uncreated()
			create(d)
			apply(t, d, test.first)
			before := string(Encode(d))
			apply(t, d, test.again)
			if changed := string(Encode(d)) != before; changed != test.changes {
				t.Errorf("changed: %t, lock %+v", changed, d.Cluster("c1").Member(1).Lock)
			}
		})
	}
}

// Another reason leaves the end that a lock has as it is.
func TestLockLIMKeepsItsEnd(t *testing.T) {
	hour := testTime.Add(time.Hour).Truncate(time.Millisecond) // as the document keeps it
	d := uncreated()
	create(d)
	apply(t, d, lock(SideRegular, testTime, "ann", "a", &hour))
	apply(t, d, lock(SideRegular, testTime.Add(time.Minute), "bob", "b", nil))
	if l := d.Cluster("c1").Member(1).Lock; l.Expires == nil || !l.Expires.Equal(hour) || l.Reason != "b" {
		t.Errorf("the lock is %+v, want reason b until %s", l, hour)
	}
}

func TestLockLIMRefusals(t *testing.T) {
	past := testTime.Add(-time.Second)
	locked := func(d *Document) {
		create(d)
		if err := lock(SideStandby, testTime, "ann", "", nil)(d); err != nil {
			panic(err)
		}
	}
	refusals(t, []editTest{
		{"LIM number", create, func(d *Document) error { return d.LockLIM(0, SideRegular, testTime, "", "", nil) }, fault.Usage, "LIM number 0", ""},
		{"side", create, lock("left", testTime, "", "", nil), fault.Usage, `"left" is not a side to lock LIM 1 to`, "regular or standby"},
		{"reason", create, lock(SideRegular, testTime, "", "a\nb", nil), fault.Usage, "must be one line each", "control characters"},
		{"long reason", create, lock(SideRegular, testTime, "", strings.Repeat("x", 1025), nil), fault.Usage, "at most 1024 bytes", ""},
		{"no time", create, lock(SideRegular, time.Time{}, "", "", nil), fault.Usage, "the lock of LIM 1 has no time at which it begins", ""},
		{"over before it begins", create, lock(SideRegular, testTime, "", "", &past), fault.Usage, "the lock of LIM 1 would end at 2026-03-01T11:59:59Z, before it begins", "--for 2h"},
		{"no such LIM", create, func(d *Document) error { return d.LockLIM(3, SideRegular, testTime, "", "", nil) }, fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
		{"in no cluster", nil, lock(SideRegular, testTime, "", "", nil), fault.Refused, "cannot lock LIM 1: it is in no cluster", "mxcluster list"},
		{"to the other side", locked, lock(SideRegular, testTime, "", "", nil), fault.Refused, "cannot lock LIM 1 to regular: it is locked to standby since 2026-03-01T12:00:00Z", "mxcluster unlock 1"},
		{"a second one to the standby", locked, func(d *Document) error { return d.LockLIM(2, SideStandby, testTime, "", "", nil) }, fault.Refused, "cannot lock LIM 2 to the standby: LIM 1 is locked to it, and it runs one LIM at most", "mxcluster unlock 1"},
		{"unlock: LIM number", create, func(d *Document) error { return d.UnlockLIM(1000) }, fault.Usage, "LIM number 1000", ""},
		{"unlock: no such LIM", create, func(d *Document) error { return d.UnlockLIM(3) }, fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
	})
	unchanged(t, uncreated(), func(d *Document) error { return d.UnlockLIM(1) }) // in no cluster, so not locked
}

func TestLockedTo(t *testing.T) {
	end := testTime.Add(time.Hour)
	tests := []struct {
		name string
		lock *Lock
		now  time.Time
		want Side
	}{
		{"not locked", nil, testTime, ""},
		{"without end", &Lock{To: SideStandby}, testTime.AddDate(9, 0, 0), SideStandby},
		{"at its beginning", &Lock{To: SideRegular, Since: testTime, Expires: &end}, testTime, SideRegular},
		{"just before its end", &Lock{To: SideRegular, Expires: &end}, end.Add(-1), SideRegular},
		{"at its end", &Lock{To: SideRegular, Expires: &end}, end, ""},
		{"after its end", &Lock{To: SideRegular, Expires: &end}, end.Add(1), ""},
		// A server whose clock is behind obeys a lock that was just made.
		{"before its beginning", &Lock{To: SideRegular, Since: testTime}, testTime.Add(-time.Second), SideRegular},
	}
	for _, test := range tests {
		if got := (Member{Lock: test.lock}).LockedTo(test.now); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
