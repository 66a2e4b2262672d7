//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"mxcluster/internal/netns"
)

func TestFloodOfLinks(t *testing.T) { runScenario(t, "links", program(t)) }

const (
	linksAtOnce = 5
	linksFor    = 3 * time.Second
	linksServed = 99 // percent of the calls
)

// linksScenario: interfaces with addresses come and go in both servers as fast as can be,
// as where containers restart. The LIM is served all the while, and a power cut in the
// middle of it is taken over.
func linksScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	var both sync.WaitGroup
	made, failed := make([]int, 2), make([]error, 2)
	for i, s := range []*Server{x.srv1, x.standby} {
		both.Go(func() {
			limited, cancel := context.WithTimeout(ctx, linksFor)
			defer cancel()
			failed[i] = s.inside(func(ns *netns.NS) (err error) { made[i], err = churnLinks(limited, ns); return err })
		})
	}
	both.Wait()
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "waiting")
	s := x.caller.Between(from, to)
	x.say("%d and %d links made and deleted: %d of %d calls lost, silence %s", made[0], made[1], s.Lost, s.Calls, s.Silence.Round(time.Millisecond))
	f.noError(errors.Join(failed...), "links")
	f.check(made[0] > 0 && made[1] > 0, "links made: %v", made)
	f.check(s.Calls > 0 && s.Lost*100 <= s.Calls*(100-linksServed), "%d of %d calls were lost", s.Lost, s.Calls)
	f.check(slices.Equal(s.By, []string{"srv1"}), "answered by %q", s.By)

	flooded, end := context.WithCancel(ctx)
	both.Go(func() {
		failed[1] = x.standby.inside(func(ns *netns.NS) error { _, err := churnLinks(flooded, ns); return err })
	})
	cut := time.Now()
	f.noError(x.srv1.PowerCut(), "power cut")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", cut), "taken over in the flood")
	x.say("a power cut is taken over after %s", time.Since(cut).Round(time.Millisecond))
	end()
	both.Wait()
	f.noError(failed[1], "links of the standby")
	return f.err()
}

// churnLinks makes pairs of interfaces with addresses and deletes them again until ctx
// ends, and returns how many it made.
func churnLinks(ctx context.Context, ns *netns.NS) (made int, err error) {
	for ctx.Err() == nil && err == nil {
		for i := range linksAtOnce {
			name, other := fmt.Sprintf("pod%da", i), fmt.Sprintf("pod%db", i)
			mac := net.HardwareAddr{2, 0, 0x70, 0, 0, byte(i)}
			addr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 254, byte(i), 1}), 24)
			err = errors.Join(err, netns.AddVeth(ns, name, ns, other, mac), ns.AddAddress(other, addr), ns.SetUp(name), ns.SetUp(other))
			made++
		}
		for i := range linksAtOnce {
			err = errors.Join(err, ns.Delete(fmt.Sprintf("pod%da", i)))
		}
	}
	return made, err
}
