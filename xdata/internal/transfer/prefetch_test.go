package transfer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/internal/fault"
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
				for s, tr := range map[*store]fileTree{from: tc.here, to: tc.there} {
					if tr != nil {
						foreign(t, s, "xdata_1_20260301000000", tr, baseTime)
						must(t, openedFor(t, s).ReadAll(t.Context()))
					}
				}
				foreign(t, from, "xdata_1_20260301020000", tc.now, baseTime.Add(time.Hour))
				if read {
					must(t, openedFor(t, from).ReadAll(t.Context()))
				}
				opened := openedFor(t, from)
				opened.Prefetch(t.Context(), tc.here == nil)
				a := opened.prefetched
				if (a != nil) != tc.ready {
					t.Fatalf("made ready: %t, want %t", a != nil, tc.ready)
				}
				if tc.crowded {
					waitUntil(t, "as much is ready as may be", a.out.full)
				}
				var told int64
				sent, err := transfer(t, opened, to, func(n int64) { told += n })
				must(t, err)
				if a != nil && a.sending != tc.fits {
					t.Errorf("sent as it was made ready: %t, want %t", a.sending, tc.fits)
				}
				size := opened.Manifest.Bytes()
				if told != size {
					t.Errorf("%d bytes were told of, want %d", told, size)
				}
				if sent > size+1<<20 {
					t.Errorf("%d bytes sent of %d", sent, size)
				}
				arrived := openedFor(t, to)
				must(t, arrived.ReadAll(t.Context()))
				if !bytes.Equal(arrived.Digest(), opened.Digest()) {
					t.Error("something else arrived")
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
	must(t, openedFor(t, s).ReadAll(t.Context()))
	foreign(t, s, "xdata_1_20260301020000", fileTree{"big": words(1, 1<<20) + words(4, (inAdvance+10)<<20), "s": "x"}, baseTime.Add(time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := openedFor(t, s)
	gaveUp.Prefetch(ctx, false)
	cancel()
	<-gaveUp.reading.done
	_ = gaveUp.DropPrefetch() // what it says depends on the moment
	for _, batches := range []int{1, 2, 10, inAdvance - 3} {
		opened := openedFor(t, s)
		opened.Prefetch(t.Context(), false)
		a := opened.prefetched
		waitUntil(t, fmt.Sprintf("%d batches are ready", batches), func() bool {
			a.out.mu.Lock()
			defer a.out.mu.Unlock()
			return a.out.existing >= batches
		})
		must(t, opened.DropPrefetch())
		if batches < inAdvance-3 {
			continue // read to its end, it would be one that is known
		}
		must(t, opened.ReadAll(t.Context()))
		if opened.Digest() == nil {
			t.Error("its content is not known")
		}
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
			opened.Start(t.Context())
			<-opened.reading.done
			opened.Unread = 1 // as if the reading had not ended yet
			must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("others"), 0o600))
			opened.Prefetch(t.Context(), true)
			var err error
			if send {
				err = sentTo(t, opened, to)
			} else {
				a := opened.prefetched
				waitUntil(t, "the last batch is ready", func() bool { return len(a.out.queue) == 1 })
				err = opened.DropPrefetch()
			}
			wantCode(t, err, fault.Busy, `"b" changed`)
		})
	}
}
