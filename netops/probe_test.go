package netops_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

func TestProbeOutcomes(t *testing.T) {
	const interval = 50 * time.Millisecond
	target := alias.Addr()
	type outcome struct {
		inUse bool
		by    string
		took  time.Duration
	}
	for _, tc := range []struct {
		name string
		prep func(t *testing.T, k []*netopstest.Kernel, w []*netopstest.Wire, s *netopstest.Segment)
		want outcome
	}{
		{"free", nil, outcome{took: 3 * interval}},
		{"held", func(t *testing.T, k []*netopstest.Kernel, _ []*netopstest.Wire, _ *netopstest.Segment) {
			must(t, k[1].Hold(eth0, alias, 0))
		}, outcome{true, "02:00:00:00:00:02", 0}},
		{"held by ourselves", func(t *testing.T, k []*netopstest.Kernel, _ []*netopstest.Wire, _ *netopstest.Segment) {
			must(t, k[0].Hold(eth0, alias, 0))
		}, outcome{took: 3 * interval}},
		{"two answers lost", func(t *testing.T, k []*netopstest.Kernel, _ []*netopstest.Wire, s *netopstest.Segment) {
			must(t, k[1].Hold(eth0, alias, 0))
			answers := 0
			s.DropWith(func(from, _ string, _ netops.Observation) bool {
				if from == "srv2" {
					answers++
				}
				return from == "srv2" && answers <= 2
			})
		}, outcome{true, "02:00:00:00:00:02", 2 * interval}},
		{"announced meanwhile", func(t *testing.T, _ []*netopstest.Kernel, w []*netopstest.Wire, _ *netopstest.Segment) {
			time.AfterFunc(70*time.Millisecond, func() { _ = w[2].Announce(target) })
		}, outcome{true, "02:00:00:00:00:03", 70 * time.Millisecond}},
		{"probed by another too", func(t *testing.T, _ []*netopstest.Kernel, w []*netopstest.Wire, _ *netopstest.Segment) {
			time.AfterFunc(120*time.Millisecond, func() { _ = w[2].Ask(netip.IPv4Unspecified(), target, nil) })
		}, outcome{true, "02:00:00:00:00:03", 120 * time.Millisecond}},
		{"asked for by a client", func(t *testing.T, _ []*netopstest.Kernel, w []*netopstest.Wire, _ *netopstest.Segment) {
			time.AfterFunc(70*time.Millisecond, func() { _ = w[2].Ask(base.Addr(), target, nil) })
		}, outcome{took: 3 * interval}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, k, w := fakes(t, 3)
				if tc.prep != nil {
					tc.prep(t, k, w, s)
				}
				start := time.Now()
				mac, inUse, err := netops.Probe(t.Context(), w[0], target, 3, interval)
				must(t, err)
				if got := (outcome{inUse, mac.String(), time.Since(start)}); got != tc.want {
					t.Errorf("%+v, want %+v", got, tc.want)
				}
			})
		})
	}
}

func TestProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, k, w := fakes(t, 2)
		probe := func(ctx context.Context, count int, interval time.Duration) error {
			_, inUse, err := netops.Probe(ctx, w[0], alias.Addr(), count, interval)
			if inUse {
				t.Error("in use and an error")
			}
			return err
		}
		for _, bad := range []struct {
			count    int
			interval time.Duration
		}{{0, time.Second}, {-1, time.Second}, {3, 0}, {3, -1}} {
			if err := probe(t.Context(), bad.count, bad.interval); fault.CodeOf(err) != fault.Usage {
				t.Errorf("%d times %s: %v, want a usage error", bad.count, bad.interval, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 70*time.Millisecond)
		defer cancel()
		if err := probe(ctx, 3, 50*time.Millisecond); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("out of time: %v, want an unknown outcome", err)
		}
		time.AfterFunc(70*time.Millisecond, func() { _ = w[0].Close() })
		if err := probe(t.Context(), 2, 50*time.Millisecond); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed meanwhile: %v", err)
		}
		k[0].SetUp(eth0, false)
		if err := probe(t.Context(), 3, 50*time.Millisecond); err == nil {
			t.Error("free, though nothing could be sent")
		}
	})
}

// stale hears a claim from before the probe, as from a socket's buffer.
type stale struct{ heard chan netops.Observation }

func (s stale) Subscribe(context.Context) <-chan netops.Observation { return s.heard }

func (s stale) CatchUp() (uint64, error) { return 0, nil }

func (s stale) Ask(_, _ netip.Addr, _ net.HardwareAddr) error { return nil }

func TestProbeIgnoresThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stale{make(chan netops.Observation, 2)}
		s.heard <- netops.Observation{Time: time.Now().Add(-time.Millisecond), Op: netops.Reply, SenderIP: alias.Addr()}
		if _, inUse, err := netops.Probe(t.Context(), s, alias.Addr(), 1, time.Second); inUse || err != nil {
			t.Errorf("in use %v, %v; want free", inUse, err)
		}
	})
}
