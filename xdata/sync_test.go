package xdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/datatest"
	"mxcluster/xdata/internal/wire"
)

// pair is the stores of both sides.
type pair map[clusterconf.Side]*Store

func newPair(t testing.TB) pair {
	return pair{clusterconf.SideRegular: newStore(t), clusterconf.SideStandby: newStore(t)}
}

// syncFrom synchronises LIM 1 as the command on one side would.
func (p pair) syncFrom(t testing.TB, side clusterconf.Side, way Direction) (Result, error) {
	t.Helper()
	conn := peer(t, p[side.Other()], ServeOptions{})
	defer conn.end(t)
	return Sync(context.Background(), p[side], conn, Request{LIM: 1, Side: side, Direction: way})
}

// bothSides runs a test with the command given on either side: who asks must
// make no difference.
func bothSides(t *testing.T, fn func(t *testing.T, asks clusterconf.Side)) {
	t.Helper()
	for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		t.Run("from "+string(side), func(t *testing.T) { fn(t, side) })
	}
}

// states are what a side may hold, by name.
var states = map[string]func(t testing.TB, s *Store){
	"none": func(testing.TB, *Store) {},
	"older": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260301000000", fileTree{"f": "older"}, baseTime)
	},
	"newer": func(t testing.TB, s *Store) { // its name is older: times of files decide
		foreign(t, s, "xdata_1_20250101000000", sample, baseTime.Add(time.Hour))
	},
	"newer by 1 ns": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260301000001", fileTree{"f": "ns"}, baseTime.Add(time.Nanosecond))
	},
	"newer by half a second": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260301000000", fileTree{"f": "half"}, baseTime.Add(500*time.Millisecond))
	},
	"same": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260305000000", fileTree{"f": "older"}, baseTime)
	},
	"same time other content": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260305000000", fileTree{"f": "0lder"}, baseTime)
	},
	"same time other name": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260305000000", fileTree{"g": "older"}, baseTime)
	},
	"future": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260310000000", sample, time.Now().Add(MaxSkew+time.Minute))
	},
	"future long ago": func(t testing.TB, s *Store) { // its name tells that it is old
		foreign(t, s, "xdata_1_20260201000000", sample, time.Now().Add(MaxSkew+time.Minute))
	},
	"nearly future": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260301000000", sample, time.Now().Add(MaxSkew/2))
	},
	"writing": func(t testing.TB, s *Store) {
		foreign(t, s, "xdata_1_20260309000000", sample, baseTime.Add(2*time.Hour))
		s.Still = time.Hour
	},
}

func TestDirections(t *testing.T) {
	type want struct {
		outcome Outcome
		way     Direction
		code    fault.Code
		text    string
	}
	var (
		toStandby = want{outcome: Copied, way: DirectionToStandby}
		toRegular = want{outcome: Copied, way: DirectionToRegular}
		inSync    = want{outcome: InSync, way: DirectionNone}
		differ    = want{Conflict, DirectionNone, fault.Conflict, "neither follows the other"}
		newer     = want{Refused, DirectionNone, fault.Refused, "would overwrite newer data"}
		absent    = want{Refused, DirectionNone, fault.NotFound, "no complete version on the"}
		nowhere   = want{outcome: InSync, way: DirectionNone}
		future    = want{Refused, DirectionNone, fault.Refused, "from the future"}
		busy      = want{Failed, DirectionNone, fault.Busy, "still being written"}
	)
	for _, tt := range []struct {
		regular, standby string
		way              Direction
		want             want
	}{
		{"none", "none", DirectionAuto, nowhere},
		{"none", "older", DirectionAuto, toRegular},
		{"older", "none", DirectionAuto, toStandby},
		{"newer", "older", DirectionAuto, toStandby},
		{"older", "newer", DirectionAuto, toRegular},
		{"older", "newer by 1 ns", DirectionAuto, toRegular},
		{"newer by 1 ns", "older", DirectionAuto, toStandby},
		{"newer by half a second", "newer by 1 ns", DirectionAuto, toStandby},
		{"older", "newer by half a second", DirectionAuto, toRegular},
		{"older", "same", DirectionAuto, inSync},
		{"same time other content", "older", DirectionAuto, differ},
		{"older", "same time other name", DirectionAuto, differ},
		{"future", "older", DirectionAuto, future},
		{"older", "future", DirectionAuto, future},
		{"none", "future", DirectionAuto, future},
		{"nearly future", "older", DirectionAuto, toStandby},
		{"writing", "none", DirectionAuto, busy},
		{"none", "writing", DirectionAuto, busy},
		{"writing", "older", DirectionAuto, toRegular},
		{"older", "writing", DirectionAuto, toStandby},
		{"newer", "older", DirectionToStandby, toStandby},
		{"newer", "older", DirectionToRegular, newer},
		{"older", "newer", DirectionToStandby, newer},
		{"older", "newer by 1 ns", DirectionToStandby, newer},
		{"older", "newer", DirectionToRegular, toRegular},
		{"none", "older", DirectionToStandby, absent},
		{"none", "older", DirectionToRegular, toRegular},
		{"older", "none", DirectionToRegular, absent},
		{"older", "same", DirectionToStandby, inSync},
		{"older", "same time other content", DirectionToRegular, differ},
		{"writing", "older", DirectionToStandby, busy},
		{"future", "none", DirectionAuto, future},
		{"future long ago", "older", DirectionAuto, toRegular},
		{"older", "future long ago", DirectionAuto, toStandby},
	} {
		t.Run(fmt.Sprintf("%s,%s,%s", tt.regular, tt.standby, tt.way), func(t *testing.T) {
			bothSides(t, func(t *testing.T, asks clusterconf.Side) {
				p := newPair(t)
				states[tt.regular](t, p[clusterconf.SideRegular])
				states[tt.standby](t, p[clusterconf.SideStandby])
				before := p.versions(t)
				res, err := p.syncFrom(t, asks, tt.way)
				wantCode(t, err, tt.want.code, tt.want.text)
				if res.Result != tt.want.outcome || res.Direction != tt.want.way || res.LIM != 1 {
					t.Errorf("result %+v, want %+v", res, tt.want)
				}
				if (res.Error != nil) != (err != nil) {
					t.Errorf("error in the result: %v, returned %v", res.Error, err)
				}
				p.checkAfter(t, res, before)
			})
		})
	}
}

// versions returns the names on both sides.
func (p pair) versions(t testing.TB) string {
	r, _ := visible(t, p[clusterconf.SideRegular])
	s, _ := visible(t, p[clusterconf.SideStandby])
	return fmt.Sprint(r, s)
}

// checkAfter checks what a sync left behind.
func (p pair) checkAfter(t *testing.T, res Result, before string) {
	t.Helper()
	for side, s := range p {
		if _, leftovers := visible(t, s); leftovers != nil {
			t.Errorf("left on the %s side: %q", side, leftovers)
		}
	}
	if res.Result != Copied {
		if after := p.versions(t); after != before || res.SentBytes != 0 {
			t.Errorf("%s, but from %s to %s", res.Result, before, after)
		}
		return
	}
	r, _, err := p[clusterconf.SideRegular].Newest(1)
	must(t, err)
	s, _, err := p[clusterconf.SideStandby].Newest(1)
	must(t, err)
	if got, want := describe(t, s.Path), describe(t, r.Path); got != want {
		t.Errorf("standby\n%s\nregular\n%s", got, want)
	}
	target := s
	if res.Direction == DirectionToRegular {
		target = r
	}
	if target.Verified == nil || !target.Complete || target.Name != res.Version {
		t.Errorf("copy %+v, reported %+v", target, res)
	}
	if res.Bytes != r.Bytes || res.SentBytes <= 0 {
		t.Errorf("%d bytes, %d sent, version has %d", res.Bytes, res.SentBytes, r.Bytes)
	}
}

func TestSecondSyncFindsNothingToDo(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		states["newer"](t, p[clusterconf.SideRegular])
		_, err := p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		res, err := p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		if res.Result != InSync || res.Version != "xdata_1_20250101000000" || res.Bytes == 0 {
			t.Errorf("%+v", res)
		}
	})
}

// A version that was changed in place after it was copied is copied again,
// beside the earlier copy: what is visible is never changed.
func TestSameNameOnBothSides(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		foreign(t, p[clusterconf.SideStandby], "xdata_1_20260301000000", fileTree{"f": "old"}, baseTime)
		foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", fileTree{"f": "new"}, baseTime.Add(time.Second))
		res, err := p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		if res.Result != Copied || res.Version != "xdata_1_20260301000001" {
			t.Errorf("%+v", res)
		}
		if got := p.versions(t); got != "[xdata_1_20260301000000] [xdata_1_20260301000000 xdata_1_20260301000001]" {
			t.Errorf("versions %s", got)
		}
	})
}

func TestKeepAfterSync(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		for day := 1; day <= 5; day++ {
			at := time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC)
			foreign(t, p[clusterconf.SideRegular], versionName(1, at), fileTree{"f": at.String()}, at)
			if day < 5 {
				foreign(t, p[clusterconf.SideStandby], versionName(1, at), fileTree{"f": at.String()}, at)
			}
		}
		_, err := p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		want := "[xdata_1_20260303000000 xdata_1_20260304000000 xdata_1_20260305000000] " +
			"[xdata_1_20260304000000 xdata_1_20260305000000]"
		if got := p.versions(t); got != want {
			t.Errorf("kept %s\nwant %s", got, want)
		}
	})
}

func TestClockSkew(t *testing.T) {
	for _, tt := range []struct {
		skew time.Duration
		code fault.Code
	}{{0, 0}, {1900 * time.Millisecond, 0}, {-1900 * time.Millisecond, 0}, {3 * time.Second, fault.Refused}, {-3 * time.Second, fault.Refused}} {
		bothSides(t, func(t *testing.T, asks clusterconf.Side) {
			p := newPair(t)
			states["newer"](t, p[clusterconf.SideRegular])
			p[clusterconf.SideStandby].Now = func() time.Time { return time.Now().Add(tt.skew) }
			res, err := p.syncFrom(t, asks, DirectionAuto)
			wantCode(t, err, tt.code, "the clocks are")
			if tt.code != 0 && (res.Result != Refused || !strings.Contains(fault.HintOf(err), "NTP")) {
				t.Errorf("%+v, hint %q", res, fault.HintOf(err))
			}
		})
	}
}

func TestClocksApart(t *testing.T) {
	for _, tt := range []struct{ theirs, took, want time.Duration }{
		{0, 0, 0}, {0, 10 * time.Second, 0}, {10 * time.Second, 10 * time.Second, 0}, // slow, but the same clock
		{3 * time.Second, time.Second, 2 * time.Second},
		{-3 * time.Second, time.Second, 3 * time.Second},
	} {
		if got := clocksApart(baseTime, baseTime.Add(tt.theirs), baseTime.Add(tt.took)); got != tt.want {
			t.Errorf("read at %s of %s: %s apart, want %s", tt.theirs, tt.took, got, tt.want)
		}
	}
}

// A dry run finds out what a sync would do, and leaves both sides as they are:
// no version more, none less, and no lock file here.
func TestDryRun(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		states["older"](t, p[clusterconf.SideStandby])
		states["newer"](t, p[clusterconf.SideRegular])
		before := map[clusterconf.Side][]string{}
		for side, s := range p {
			before[side], _ = visible(t, s)
		}
		res, err := Sync(context.Background(), p[asks], peer(t, p[asks.Other()], ServeOptions{}),
			Request{LIM: 1, Side: asks, DryRun: true})
		must(t, err)
		if res.Result != WouldCopy || res.Direction != DirectionToStandby || res.Version == "" || res.Bytes == 0 || res.SentBytes != 0 {
			t.Errorf("%+v", res)
		}
		for side, s := range p {
			if now, _ := visible(t, s); !slices.Equal(now, before[side]) {
				t.Errorf("%s has %q, had %q", side, now, before[side])
			}
		}
		if _, err := os.Stat(filepath.Join(p[asks].Dir, ".lock-1")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a lock file was made: %v", err)
		}
	})
}

func TestSyncBusy(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		for _, locked := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
			p := newPair(t)
			states["newer"](t, p[clusterconf.SideRegular])
			release, err := p[locked].lock(1, "xdata backup")
			must(t, err)
			res, err := p.syncFrom(t, asks, DirectionAuto)
			wantCode(t, err, fault.Busy, "in use by xdata backup")
			if res.Result != Failed {
				t.Errorf("%+v", res)
			}
			release()
			_, err = p.syncFrom(t, asks, DirectionAuto)
			must(t, err)
		}
	})
}

func TestSyncRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, p pair)
		code    fault.Code
		text    string
	}{
		{"no room", func(t *testing.T, p pair) {
			p[clusterconf.SideStandby].Space = func(string) (int64, int64, error) { return spaceMargin, -1, nil }
		}, fault.Refused, "MiB free"},
		{"link in the version", func(t *testing.T, p pair) {
			must(t, os.Symlink("dump.sql", filepath.Join(p[clusterconf.SideRegular].Dir, "xdata_1_20250101000000/db/link")))
		}, fault.Refused, "symbolic link"},
		{"store cannot be made", func(t *testing.T, p pair) {
			p[clusterconf.SideStandby].Dir = filepath.Join(p[clusterconf.SideRegular].Dir, "xdata_1_20250101000000/conf/deep/er/x.conf/d")
		}, fault.Failed, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothSides(t, func(t *testing.T, asks clusterconf.Side) {
				p := newPair(t)
				states["newer"](t, p[clusterconf.SideRegular])
				tt.prepare(t, p)
				_, err := p.syncFrom(t, asks, DirectionAuto)
				wantCode(t, err, tt.code, tt.text)
			})
		})
	}
}

func TestBadRequests(t *testing.T) {
	for _, req := range []Request{
		{LIM: 0, Side: clusterconf.SideRegular}, {LIM: 1, Side: "left"}, {LIM: 1, Side: clusterconf.SideRegular, Direction: "up"},
	} {
		s := newStore(t)
		_, err := Sync(context.Background(), s, peer(t, newStore(t), ServeOptions{}), req)
		wantCode(t, err, fault.Usage, "no ")
	}
}

func TestServeOptions(t *testing.T) {
	p := newPair(t)
	states["newer"](t, p[clusterconf.SideRegular])
	for _, tt := range []struct {
		byLIM []int
		code  fault.Code
	}{{[]int{1, 2}, 0}, {nil, 0}, {[]int{2}, fault.NotPermitted}, {[]int{}, fault.NotPermitted}} {
		conn := peer(t, p[clusterconf.SideStandby], ServeOptions{LIMs: tt.byLIM})
		_, err := Sync(context.Background(), p[clusterconf.SideRegular], conn, Request{LIM: 1, Side: clusterconf.SideRegular})
		wantCode(t, err, tt.code, "may not be asked for")
	}
}

// Content that differs from its hash, as by failing memory, does not become a
// version.
func TestChangedWhileSent(t *testing.T) {
	s := newStore(t)
	states["newer"](t, s)
	v, _, err := s.Newest(1)
	must(t, err)
	file := filepath.Join(v.Path, "db/dump.sql")

	p := pair{clusterconf.SideRegular: s, clusterconf.SideStandby: newStore(t)}
	opened, err := s.openVersion(observed{Version: v})
	must(t, err)
	defer opened.Close()
	must(t, os.WriteFile(file, []byte("select 2;\n"), 0o640)) // same size, later time
	err = sendTo(t, opened, p[clusterconf.SideStandby])
	wantCode(t, err, fault.Busy, "changed while it was read")

	// Unnoticed while it is sent, but not by who receives it.
	opened, err = s.openVersion(observed{Version: v})
	wantCode(t, opened.Problem, fault.Busy, "changed while it was read")
	must(t, err)
	opened.Close()
	mtime := baseTime.Add(time.Hour)
	must(t, os.Chtimes(file, mtime, mtime))
	opened, err = s.openVersion(observed{Version: v})
	must(t, err)
	defer opened.Close()
	must(t, opened.ReadAll(context.Background()))
	opened.Manifest.Find("db/dump.sql").Sum[0] ^= 1
	err = sendTo(t, opened, p[clusterconf.SideStandby])
	wantCode(t, err, fault.Conflict, "")
	if versions, leftovers := visible(t, p[clusterconf.SideStandby]); versions != nil || leftovers != nil {
		t.Errorf("left %q %q", versions, leftovers)
	}
}

// sendTo sends an opened version to a store, and returns the sender's error.
func sendTo(t *testing.T, opened *opened, to *Store) error {
	t.Helper()
	must(t, os.MkdirAll(to.Dir, 0o755))
	ours, theirs := datatest.Connected(t)
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer theirs.Close()
		l := wire.NewLink(theirs, theirs)
		if _, err := receive(to, l); err != nil {
			_ = l.Send(wire.FrameError, wire.EncodeError(err))
		}
	}()
	err := sending(opened, wire.NewLink(ours, ours), ours, nil).Send(context.Background())
	ours.Close()
	wait(t, received, "the receiver")
	return err
}

// A sender that finds out half-way that it cannot go on says why.
func TestSenderGivesUp(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		dir := foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", fileTree{"a": noise(1, 16<<20), "b": "y"}, baseTime)
		other := peer(t, p[asks.Other()], ServeOptions{})
		conn := &tap{Conn: other, after: 1, do: func() {
			must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("changed"), 0o600))
		}}
		_, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
		wantCode(t, err, fault.Busy, `"b" changed`)
		other.end(t)
		if versions, leftovers := visible(t, p[clusterconf.SideStandby]); versions != nil || leftovers != nil {
			t.Errorf("left %q %q", versions, leftovers)
		}
	})
}

func TestSyncCancelled(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", fileTree{"a": noise(1, 16<<20)}, baseTime)
		ctx, cancel := context.WithCancel(context.Background())
		other := peer(t, p[asks.Other()], ServeOptions{})
		conn := &tap{Conn: other, after: 1 << 20, do: cancel}
		res, err := Sync(ctx, p[asks], conn, Request{LIM: 1, Side: asks})
		wantCode(t, err, fault.Interrupted, "")
		if res.Result != Failed || !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", res, err)
		}
		other.end(t)
		if versions, leftovers := visible(t, p[clusterconf.SideStandby]); versions != nil || leftovers != nil {
			t.Errorf("left %q %q", versions, leftovers)
		}
	})
}

// The clock and the LIM are asked for at once: the network's time is waited for but
// once.
func TestSyncAsksAtOnce(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	s := newStore(t)
	go func() {
		_, err := Sync(context.Background(), s, ours, Request{LIM: 1, Side: clusterconf.SideRegular})
		ended <- err
	}()
	must(t, theirs.SetDeadline(time.Now().Add(20*time.Second)))
	l := wire.NewLink(theirs, theirs)
	must(t, l.Send(wire.FrameGreeting, wire.Spoken.Greeting()))
	for _, want := range []wire.FrameType{wire.FrameClock, wire.FrameOpen} {
		if _, err := l.Expect(want); err != nil {
			t.Errorf("waiting for message %d: %v", want, err)
		}
	}
	must(t, theirs.Close())
	wantCode(t, <-ended, fault.Unreachable, "went away")
}

// A server whose context ends gives up though its peer says nothing, and
// releases the lock.
func TestServeCancelled(t *testing.T) {
	s := newStore(t)
	ours, theirs := net.Pipe()
	defer ours.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, s, theirs, theirs, ServeOptions{}) }()
	l := wire.NewLink(ours, ours)
	_, err := l.Expect(wire.FrameGreeting)
	must(t, err)
	must(t, l.Send(wire.FrameOpen, wire.OpenRequest{LIM: 1, Side: clusterconf.SideStandby}))
	_, err = l.Expect(wire.FrameOpen)
	must(t, err)
	_, err = s.lock(1, "test")
	wantCode(t, err, fault.Busy, "sync with another server")
	cancel()
	select {
	case err := <-ended:
		wantCode(t, err, fault.Interrupted, "serve data versions")
	case <-time.After(20 * time.Second):
		t.Fatal("still serving")
	}
	release, err := s.lock(1, "test")
	must(t, err)
	release()
}

// tap does something once that many bytes have passed, whichever way.
type tap struct {
	Conn
	passed, after int
	do            func()
}

func (c *tap) count(n int) {
	if c.passed += n; c.passed >= c.after && c.do != nil {
		c.do()
		c.do = nil
	}
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.after > 0 && n > 1000 { // content: only one way has much
		c.count(n)
	}
	return n, err
}

func (c *tap) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 1000 {
		c.count(n)
	}
	return n, err
}

func TestResultJSON(t *testing.T) {
	p := newPair(t)
	states["same"](t, p[clusterconf.SideRegular])
	states["older"](t, p[clusterconf.SideStandby])
	res, err := p.syncFrom(t, clusterconf.SideRegular, "")
	must(t, err)
	res.TookMs = 12
	data, err := json.Marshal(res)
	must(t, err)
	want := `{"lim":1,"version":"xdata_1_20260305000000","direction":"none","result":"in-sync","bytes":5,"sentBytes":0,"tookMs":12,"error":null,"code":0}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}
