package netops_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// fakes connects n fake kernels, named srv1 and up, to a segment.
func fakes(t *testing.T, n int) (*netopstest.Segment, []*netopstest.Kernel, []*netopstest.Wire) {
	t.Helper()
	s := &netopstest.Segment{}
	var kernels []*netopstest.Kernel
	var wires []*netopstest.Wire
	for i := range n {
		k := netopstest.NewKernel(fmt.Sprintf("srv%d", i+1), netops.Link{
			Name: eth0, Index: 2, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}, Up: true,
		})
		s.Connect(k, eth0)
		w, err := s.OpenWire(k, eth0)
		must(t, err)
		kernels, wires = append(kernels, k), append(wires, w)
	}
	return s, kernels, wires
}

// drain returns what was heard, in short.
func drain(heard <-chan netops.Observation) []string {
	var all []string
	for {
		select {
		case o, open := <-heard:
			if !open {
				return append(all, "closed")
			}
			all = append(all, fmt.Sprintf("%s %s>%s by %x", o.Op, o.SenderIP, o.TargetIP, o.SenderMAC[5]))
		default:
			return all
		}
	}
}

func expect(t *testing.T, what string, heard <-chan netops.Observation, want ...string) {
	t.Helper()
	if got := drain(heard); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

func TestFakeSegment(t *testing.T) {
	s, k, w := fakes(t, 3)
	must(t, k[1].Hold(eth0, alias, 0))
	first, second, third := w[0].Subscribe(t.Context()), w[1].Subscribe(t.Context()), w[2].Subscribe(t.Context())
	from, macs := base.Addr(), []net.HardwareAddr{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}}
	question, answer := "request 10.0.0.21>10.0.0.11 by 1", "reply 10.0.0.11>10.0.0.21 by 2"

	must(t, w[0].Ask(from, alias.Addr(), nil))
	expect(t, "asked everyone, the asker", first, answer)
	expect(t, "asked everyone, the holder", second, question)
	expect(t, "asked everyone, a third", third, question)

	must(t, w[0].Ask(from, alias.Addr(), macs[1]))
	expect(t, "asked one, the asker", first, answer)
	expect(t, "asked one, a third", third)
	drain(second)

	must(t, w[1].Announce(alias.Addr()))
	announced := []string{"request 10.0.0.11>10.0.0.11 by 2", "reply 10.0.0.11>10.0.0.11 by 2"}
	expect(t, "announced", first, announced...)
	expect(t, "announced, the announcer", second)
	drain(third)

	s.DropWith(func(from, to string, o netops.Observation) bool {
		return from == "srv2" && to == "srv1" && o.Op == netops.Reply
	})
	must(t, w[0].Ask(from, alias.Addr(), nil))
	expect(t, "answer lost", first)
	expect(t, "answer lost, the holder", second, question)
	s.DropWith(nil)

	k[1].SetUp(eth0, false)
	must(t, w[0].Ask(from, alias.Addr(), nil))
	expect(t, "holder down", first)
	expect(t, "holder down, itself", second)
	if err := w[1].Announce(alias.Addr()); err == nil {
		t.Error("announced on an interface that is down")
	}
	if err := w[1].Ask(from, alias.Addr(), nil); err == nil {
		t.Error("asked on an interface that is down")
	}
	k[1].SetUp(eth0, true)

	s.Disconnect(k[1])
	must(t, w[0].Ask(from, alias.Addr(), nil))
	must(t, w[1].Announce(alias.Addr()))
	expect(t, "holder without power", first)
	expect(t, "holder without power, itself", second)

	must(t, w[0].Close())
	expect(t, "closed", first, "closed")
	if err := w[0].Announce(alias.Addr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("announced on a closed wire: %v", err)
	}
}

func TestFakeWireRefuses(t *testing.T) {
	s, _, _ := fakes(t, 1)
	k := netopstest.NewKernel("srv9", netops.Link{Name: eth0, Up: true})
	for ifname, code := range map[string]fault.Code{"eht0": fault.NotFound, eth0: fault.Failed} {
		if _, err := s.OpenWire(k, ifname); fault.CodeOf(err) != code || fault.HintOf(err) == "" {
			t.Errorf("%s: %v with code %d and hint %q", ifname, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

// A wire that nobody reads loses the oldest frames and counts them.
func TestFakeWireCountsLost(t *testing.T) {
	_, _, w := fakes(t, 2)
	heard := w[0].Subscribe(t.Context())
	for range 1000 {
		must(t, w[1].Announce(alias.Addr()))
	}
	if kept := len(drain(heard)); uint64(kept)+w[0].Lost() != 2000 || kept < 100 {
		t.Errorf("kept %d and lost %d of 2000", kept, w[0].Lost())
	}
}

// A server whose agent died answers until its lease ends, and not after.
func TestFakeLeaseEndsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, k, w := fakes(t, 2)
		must(t, k[1].Hold(eth0, alias, 3*time.Second))
		events, err := k[1].Watch(t.Context())
		must(t, err)
		heard := w[0].Subscribe(t.Context())
		start := time.Now()
		for time.Since(start) < 5*time.Second {
			must(t, w[0].Ask(base.Addr(), alias.Addr(), nil))
			if got, want := len(drain(heard)) == 1, time.Since(start) < 3*time.Second; got != want {
				t.Errorf("after %s: answered %v, want %v", time.Since(start), got, want)
			}
			<-time.After(100 * time.Millisecond)
		}
		if e := <-events; e != (netops.Event{Addresses: true}) {
			t.Errorf("event %+v of the expiry", e)
		}
	})
}

func TestFakeKernelEvents(t *testing.T) {
	k := netopstest.NewKernel("srv1", netops.Link{Name: eth0, Up: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := k.Watch(ctx)
	must(t, err)
	addresses, links := netops.Event{Addresses: true}, netops.Event{Links: true}
	for _, step := range []struct {
		name string
		do   func() error
		want netops.Event
	}{
		{"taken", func() error { return k.Hold(eth0, alias, time.Minute) }, addresses},
		{"renewed", func() error { return k.Extend(eth0, alias, time.Minute, time.Now().Add(time.Minute)) }, netops.Event{}},
		{"made permanent", func() error { return k.Hold(eth0, alias, 0) }, addresses},
		{"permanent already", func() error { return k.EnsureBase(eth0, alias) }, netops.Event{}},
		{"deleted", func() error { return k.Drop(eth0, alias) }, addresses},
		{"deleted already", func() error { return k.Drop(eth0, alias) }, netops.Event{}},
		{"down", func() error { k.SetUp(eth0, false); return nil }, links},
		{"down already", func() error { k.SetUp(eth0, false); return nil }, netops.Event{}},
	} {
		must(t, step.do())
		var got netops.Event
		select {
		case got = <-events:
		default:
		}
		if got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
	must(t, k.Close())
	if _, open := <-events; open {
		t.Error("the watch goes on after the end")
	}
}

func TestFakeKernelFailsOnDemand(t *testing.T) {
	k := netopstest.NewKernel("srv1", netops.Link{Name: eth0, Up: true})
	var asked []string
	broken := errors.New("broken")
	k.FailWith(func(op string) error { asked = append(asked, op); return broken })
	for _, err := range []error{
		k.Hold(eth0, alias, 0), k.Extend(eth0, alias, 1, time.Now()), k.Drop(eth0, alias), k.EnsureBase(eth0, base),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	}
	if got := fmt.Sprint(asked); got != "[Hold Extend Drop EnsureBase]" {
		t.Errorf("asked for %s", got)
	}
	k.FailWith(nil)
	must(t, k.Hold(eth0, alias, 0))
}

func TestFakeGateways(t *testing.T) {
	k := netopstest.NewKernel("srv1", netops.Link{Name: eth0})
	events, err := k.Watch(t.Context())
	must(t, err)
	want := netip.MustParseAddr("10.0.0.254")
	k.SetGateways(eth0, want)
	if got, err := k.Gateways(eth0); !slices.Equal(got, []netip.Addr{want}) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if e := <-events; e != (netops.Event{Routes: true}) {
		t.Errorf("told of %+v", e)
	}
	k.SetGateways(eth0)
	if got, err := k.Gateways(eth0); len(got) > 0 || err != nil {
		t.Errorf("without one: %v, %v", got, err)
	}
}
