package netops_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"mxcluster/netops"
)

// echo answers datagrams on all of the host's addresses until the test ends.
func (h *host) echo() (port uint16) {
	h.t.Helper()
	var c *net.UDPConn
	must(h.t, h.ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: 5000})
		return err
	}))
	h.t.Cleanup(func() { must(h.t, c.Close()) })
	go func() {
		for b := make([]byte, 64); ; {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from) // one that is lost counts
		}
	}()
	return 5000
}

// caller is a client that asks every 2 ms.
type caller struct {
	mu      sync.Mutex
	answers []time.Time
}

func (h *host) call(to netip.AddrPort) *caller {
	h.t.Helper()
	var conn *net.UDPConn
	must(h.t, h.ns.Do(func() (err error) { conn, err = net.ListenUDP("udp", nil); return err }))
	c, done := &caller{}, make(chan struct{})
	h.t.Cleanup(func() { close(done); must(h.t, conn.Close()) })
	go func() {
		for b := make([]byte, 64); ; {
			if _, err := conn.Read(b); err != nil {
				return
			}
			c.mu.Lock()
			c.answers = append(c.answers, time.Now())
			c.mu.Unlock()
		}
	}()
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = conn.WriteToUDPAddrPort([]byte("x"), to)
			}
		}
	}()
	return c
}

// after returns how many answers came after a point in time.
func (c *caller) after(at time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.answers, at, time.Time.Compare)
	return len(c.answers) - i
}

// silence is the longest time between two answers from a point in time on.
func (c *caller) silence(from time.Time) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < len(c.answers); i++ {
		if c.answers[i].After(from) {
			longest = max(longest, c.answers[i].Sub(c.answers[i-1]))
		}
	}
	return longest
}

// An alias that is released here and taken there: the client's silence is that
// of the two steps. Prepared, the taker has it already, blocked.
func TestPlannedMove(t *testing.T) {
	t.Parallel()
	for _, prepared := range []bool{false, true} {
		name := map[bool]string{false: "released here, then taken there", true: "prepared there, blocked"}[prepared]
		t.Run(name, func(t *testing.T) {
			hosts := newHosts(t, 3)
			client, holder, taker := hosts[2], hosts[0], hosts[1]
			wires := map[*host]*netops.Wire{holder: holder.wire(), taker: taker.wire()}
			must(t, holder.kernel.Hold(eth0, alias, 0))
			port := holder.echo()
			taker.echo()
			c := client.call(netip.AddrPortFrom(alias.Addr(), port))
			answered := func() {
				t.Helper()
				now := time.Now()
				eventually(t, 10*time.Second, "answers", func() bool { return c.after(now) > 20 })
			}
			answered()
			var silences []time.Duration
			for range 20 {
				if prepared {
					must(t, taker.kernel.Block(eth0, alias.Addr()))
					must(t, taker.kernel.Hold(eth0, alias, 0))
				}
				start := time.Now()
				must(t, holder.kernel.Drop(eth0, alias))
				if prepared {
					must(t, taker.kernel.Unblock(eth0, alias.Addr()))
				} else {
					must(t, taker.kernel.Hold(eth0, alias, 0))
				}
				must(t, wires[taker].Announce(alias.Addr()))
				answered()
				silences = append(silences, c.silence(start))
				holder, taker = taker, holder
			}
			slices.Sort(silences)
			t.Logf("silence of 20 moves: median %s (%s-%s)", silences[10], silences[0], silences[19])
		})
	}
}
