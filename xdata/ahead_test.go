package xdata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// What is made ready before the receiver says what it has arrives as it is, and once,
// whether the receiver has what was expected or not, and however much there is.
func TestMadeReady(t *testing.T) {
	old := fileTree{"big": noise(1, 5<<20), "dump": words(2, 8<<20), "s": "small"}
	fresh := fileTree{"big": noise(1, 5<<20) + "more", "dump": words(2, 3<<20) + "x" + words(3, (inAdvance+10)<<20), "s": "other"}
	many := fileTree{}
	for i := range 4 * inAdvance {
		many[fmt.Sprintf("d/f%04d", i)] = words(byte(i), 300_000+i)
	}
	for _, tc := range []struct {
		name        string
		here, there fileTree // the version before; nil: none
		now         fileTree
		ready, fits bool
		crowded     bool // more than can be made ready
	}{
		{"many files for an empty receiver", nil, nil, many, true, true, true},
		{"a large file for an empty receiver", nil, nil, old, true, true, false},
		{"an empty folder and files", nil, nil, fileTree{"a": "", "b/c": "x"}, true, true, false},
		{"both have the version before", old, old, fresh, true, true, true},
		{"the receiver has lost it", old, nil, fresh, true, false, true},
		{"the receiver has another one", nil, fileTree{"s": "x"}, old, true, false, false},
		{"nothing large in the one before", fileTree{"s": "x"}, fileTree{"s": "x"}, fileTree{"s": "y"}, false, false, false},
	} {
		for _, read := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read before: %t", tc.name, read), func(t *testing.T) {
				from, to := newStore(t), newStore(t)
				for s, tr := range map[*Store]fileTree{from: tc.here, to: tc.there} {
					if tr != nil {
						foreign(t, s, "xdata_1_20260301000000", tr, baseTime)
						must(t, openedFor(t, s).readAll(t.Context()))
					}
				}
				foreign(t, from, "xdata_1_20260301020000", tc.now, baseTime.Add(time.Hour))
				if read {
					must(t, openedFor(t, from).readAll(t.Context()))
				}
				opened := openedFor(t, from)
				opened.makeReady(t.Context(), tc.here == nil, time.Time{})
				a := opened.ahead
				if (a != nil) != tc.ready {
					t.Fatalf("made ready: %t, want %t", a != nil, tc.ready)
				}
				if tc.crowded {
					waitUntil(t, "as much is ready as may be", a.out.crowded)
				}
				var told int64
				sent := transferCounted(t, opened, to, func(n int64) { told += n })
				if a != nil && a.sending != tc.fits {
					t.Errorf("sent as it was made ready: %t, want %t", a.sending, tc.fits)
				}
				got, _, err := to.Newest(1)
				must(t, err)
				if got.Bytes != opened.version.Bytes || told != got.Bytes {
					t.Errorf("%d bytes there, %d were told of, want %d", got.Bytes, told, opened.version.Bytes)
				}
				if sent > opened.version.Bytes+1<<20 {
					t.Errorf("%d bytes sent of %d", sent, opened.version.Bytes)
				}
				if found, err := to.Verify(t.Context(), got, nil); err != nil || len(found.Damage) > 0 {
					t.Errorf("verified: %q, %v", found.Damage, err)
				}
			})
		}
	}
}

// What was made ready and is not wanted is dropped, at whatever moment, and the version
// can be read to its end.
func TestMadeReadyForNothing(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301000000", fileTree{"big": words(1, 4<<20)}, baseTime)
	must(t, openedFor(t, s).readAll(t.Context()))
	foreign(t, s, "xdata_1_20260301020000", fileTree{"big": words(1, 1<<20) + words(4, (inAdvance+10)<<20), "s": "x"}, baseTime.Add(time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := openedFor(t, s)
	gaveUp.makeReady(ctx, false, time.Time{})
	cancel()
	<-gaveUp.reading.done
	_ = gaveUp.dropAhead() // what it says depends on the moment
	for _, batches := range []int{1, 2, 10, inAdvance - 3} {
		opened := openedFor(t, s)
		opened.makeReady(t.Context(), false, time.Time{})
		a := opened.ahead
		waitUntil(t, fmt.Sprintf("%d batches are ready", batches), func() bool {
			a.out.mu.Lock()
			defer a.out.mu.Unlock()
			return a.out.some >= batches
		})
		must(t, opened.dropAhead())
		if batches < inAdvance-3 {
			continue // read to its end, it would be one that is known
		}
		must(t, opened.readAll(t.Context()))
		if opened.digest() == nil {
			t.Error("its content is not known")
		}
	}
}

// A version that was read before the last good sync is on the other side, as far as is
// known, and not made ready; one that was read since, as 'xdata backup' does, is.
func TestMadeReadyOnce(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301000000", fileTree{"a": "first"}, baseTime)
	must(t, openedFor(t, s).readAll(t.Context()))
	index, err := os.Stat(s.indexPath("xdata_1_20260301000000"))
	must(t, err)
	for since, want := range map[time.Duration]bool{-time.Second: true, 0: false, time.Second: false} {
		opened := openedFor(t, s)
		opened.makeReady(t.Context(), true, index.ModTime().Add(since))
		if ready := opened.ahead != nil; ready != want {
			t.Errorf("last synchronised %s after it was read: made ready %t, want %t", since, ready, want)
		}
		must(t, opened.dropAhead())
	}
}

// A file that changed after it was read, which is found out while the version is made
// ready, is told of, whether that is sent or dropped.
func TestMadeReadyChanges(t *testing.T) {
	for name, send := range map[string]bool{"sent": true, "dropped": false} {
		t.Run(name, func(t *testing.T) {
			s, to := newStore(t), newStore(t)
			dir := foreign(t, s, "xdata_1_20260301020000", fileTree{"a": "first", "b": "second"}, baseTime)
			opened := openedFor(t, s)
			opened.start(t.Context())
			<-opened.reading.done
			opened.unread = 1 // as if the reading had not ended yet
			must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("others"), 0o600))
			opened.makeReady(t.Context(), true, time.Time{})
			var err error
			if send {
				err = transfer(t, opened, to)
			} else {
				a := opened.ahead
				waitUntil(t, "the last batch is ready", func() bool { return len(a.out.queue) == 1 })
				err = opened.dropAhead()
			}
			wantCode(t, err, fault.Busy, `"b" changed`)
		})
	}
}

// One that was read before and has rotted since is of no importance to a sync that brings
// a newer one.
func TestRottedWhereANewerOneComes(t *testing.T) {
	p := newPair(t)
	v := backedUp(t, p[clusterconf.SideRegular], baseTime)
	rotUnseen(t, p[clusterconf.SideRegular], v.Name, "db/dump.sql")
	opened := openedFor(t, p[clusterconf.SideRegular])
	opened.makeReady(t.Context(), true, time.Time{})
	waitUntil(t, "it is found out", func() bool {
		m, err := loadMark(p[clusterconf.SideRegular].markPath(v.Name))
		return err == nil && m != nil && m.Damage != ""
	})
	must(t, opened.dropAhead())

	foreign(t, p[clusterconf.SideStandby], "xdata_1_20260302000000", fileTree{"db/dump.sql": "select 2;\n"}, time.Now())
	must(t, os.Remove(p[clusterconf.SideRegular].markPath(v.Name))) // as if that had not been noticed
	res, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	if err != nil || res.Result != Copied || res.Direction != DirectionToRegular {
		t.Errorf("%+v, %v", res, err)
	}
}

// transferCounted sends an opened version to a store; it returns how many bytes were sent.
func transferCounted(t *testing.T, opened *opened, to *Store, counted tree.Counter) int64 {
	t.Helper()
	must(t, os.MkdirAll(to.Dir, 0o755))
	ours, theirs := connected(t)
	received := make(chan error, 1)
	go func() {
		_, err := receive(to, wire.NewLink(theirs, theirs))
		theirs.Close()
		received <- err
	}()
	l := wire.NewLink(ours, ours)
	err := sending(opened, l, ours, counted).send(t.Context())
	must(t, err)
	must(t, <-received)
	return l.BytesWritten
}
