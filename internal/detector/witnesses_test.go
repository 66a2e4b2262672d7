package detector

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"mxcluster/netops"
)

// A neighbour that falls silent while others answer is replaced; no more are asked than
// there are places, and none that is a server's, an alias's or a second one of a host.
func TestNeighboursAreReplaced(t *testing.T) {
	addr := netip.MustParseAddr
	now := time.Unix(1e9, 0)
	s := bareDetector()
	s.SetServers(map[string]Server{"srv1": {Base: addr("192.0.2.21")}}, time.Second)
	s.SetWitnesses(WitnessPlan{Subnet: netip.MustParsePrefix("192.0.2.0/24"), Taken: map[netip.Addr]bool{addr("192.0.2.21"): true},
		MACs: map[string]bool{"02:00:00:00:00:01": true}})
	s.SetWell(true)
	mac := func(n int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(n)} }
	hear := func(op netops.Op, host, station int) {
		s.observe(netops.Observation{Time: now, Op: op, SenderIP: addr(fmt.Sprintf("192.0.2.%d", host)), SenderMAC: mac(station), TargetIP: addr("192.0.2.20")})
	}
	asked := func(answer func(host int) bool, d time.Duration) map[int]int {
		times := map[int]int{}
		for end := now.Add(d); now.Before(end); {
			next, ask, _ := s.poll(now)
			for _, q := range ask.arp {
				host := int(q.target.As4()[3])
				if times[host]++; answer(host) {
					hear(netops.Reply, host, host)
				}
			}
			for _, q := range ask.echo {
				if host := int(q.target.As4()[3]); host == 21 { // the neighbours answer none
					s.gossipHeard("srv1", now)
					s.echo(netops.Echo{Time: now, Asked: now, From: q.target, MAC: q.to})
				}
			}
			now = next
		}
		return times
	}
	for _, x := range [][2]int{{21, 21}, {101, 101}, {102, 102}, {103, 102}, {104, 1}, {105, 105}, {106, 106}, {107, 107}} {
		hear(netops.Request, x[0], x[1])
	}
	all := func(int) bool { return true }
	times := asked(all, 10*time.Second)
	for _, host := range []int{101, 102, 105, 106} {
		if times[host] < 3 || times[host] > 6 {
			t.Errorf("neighbour %d was asked %d times", host, times[host])
		}
	}
	if times[103]+times[104]+times[107] > 0 {
		t.Errorf("asked %v", times)
	}
	asked(func(host int) bool { return host != 105 }, time.Minute)
	hear(netops.Request, 107, 107)
	times = asked(all, 10*time.Second)
	if times[105] > 0 || times[107] < 3 {
		t.Errorf("after 105 has left: asked %v", times)
	}
	if got := s.Witnesses([]string{"srv1"}); got.Others != mostNeighbours || !got.Several {
		t.Errorf("witnesses: %+v", got)
	}
}

// A witness whose echoes were lost on a bad line is asked by echo again: ARP alone may not
// have the room to tell of it often enough.
func TestWitnessIsAskedByEchoAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	addr, mac := netip.MustParseAddr("192.0.2.1"), net.HardwareAddr{2, 0, 0, 0, 0, 1}
	w := &witness{addr: addr, mac: mac, echoes: true}
	b := witnesses{all: map[netip.Addr]*witness{addr: w}, well: true}
	echoes := func(after time.Duration) int {
		now = now.Add(after)
		var q questions
		w.ask(&q, now, func() bool { return true })
		return len(q.echo)
	}
	for range echoTries {
		echoes(time.Second)
	}
	answer := func() {
		b.heard(netops.Observation{Time: now, Op: netops.Reply, SenderIP: addr, SenderMAC: mac}, time.Second)
	}
	answer()
	if n := echoes(time.Second); w.echoes || n != 0 {
		t.Errorf("it answers no echoes (%v), and was asked %d", w.echoes, n)
	}
	if n := echoes(echoAgain); n != 1 {
		t.Errorf("later it was asked %d echoes", n)
	}
	b.echoed(netops.Echo{From: addr, MAC: mac, Asked: now, Time: now}, time.Second)
	if !w.echoes {
		t.Error("it does not answer echoes again")
	}
	for range 2 * echoTries { // it is known to answer by now: the line is to blame
		if n := echoes(time.Second); n != 1 {
			t.Errorf("one that has answered echoes was asked %d", n)
		}
		answer()
	}
}
