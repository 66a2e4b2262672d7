package member

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// deadline bounds the tests on real sockets; they end as soon as they can.
const deadline = 20 * time.Second

// openReal starts a pool on real sockets of the loopback interface.
func openReal(t *testing.T, name string, bind netip.AddrPort, key []byte) *Pool {
	t.Helper()
	cfg := testConfig(name, bind)
	cfg.Keys = [][]byte{key}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// freePort returns a port that is free, TCP and UDP, on all of some addresses.
func freePort(t *testing.T, addrs ...string) uint16 {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort(addrs[0], "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := netip.MustParseAddrPort(l.Addr().String()).Port()
		l.Close()
		free := true
		for _, a := range addrs {
			bind := netip.AddrPortFrom(netip.MustParseAddr(a), port)
			tcp, errTCP := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(bind))
			udp, errUDP := net.ListenUDP("udp", net.UDPAddrFromAddrPort(bind))
			if errTCP == nil {
				tcp.Close()
			}
			if errUDP == nil {
				udp.Close()
			}
			free = free && errTCP == nil && errUDP == nil
		}
		if free {
			return port
		}
	}
	t.Fatal("no port is free on " + strings.Join(addrs, ", "))
	return 0
}

// await reads events until one of a kind from a server comes.
func await(t *testing.T, p *Pool, kind EventKind, from string) Event {
	t.Helper()
	limit := time.After(deadline)
	for {
		select {
		case ev, ok := <-p.Events():
			if !ok {
				t.Fatal("the pool ended")
			}
			if ev.Kind == kind && ev.From == from {
				return ev
			}
		case <-limit:
			t.Fatalf("%s did not hear %s", p.cfg.Name, from)
		}
	}
}

// TestRealSockets takes the way of a datagram, of a message and of a push/pull
// through the kernel, with three servers.
func TestRealSockets(t *testing.T) {
	addrs := []string{"127.0.77.1", "127.0.77.2", "127.0.77.3"}
	port := freePort(t, addrs...)
	var pools []*Pool
	peers := map[string][]netip.AddrPort{}
	for i, a := range addrs {
		bind := netip.AddrPortFrom(netip.MustParseAddr(a), port)
		name := string(rune('a' + i))
		pools = append(pools, openReal(t, name, bind, testKey(1)))
		peers[name] = []netip.AddrPort{bind}
	}
	a, b, c := pools[0], pools[1], pools[2]
	a.SetPeers(map[string][]netip.AddrPort{"b": peers["b"]})
	b.SetPeers(peers)

	a.Publish([]byte(`{"n":1}`))
	if ev := await(t, b, StateHeard, "a"); string(ev.Payload) != `{"n":1}` || ev.At.IsZero() {
		t.Errorf("b heard %s", show([]Event{ev}))
	}
	// c hears of a from b alone; a does not know c.
	if n, err := c.Join(peers["b"]...); n != 1 || err != nil {
		t.Fatalf("joining: %d, %v", n, err)
	}
	if ev := await(t, c, StateHeard, "a"); string(ev.Payload) != `{"n":1}` || !ev.At.IsZero() {
		t.Errorf("c heard %s", show([]Event{ev}))
	}
	if err := b.Send(t.Context(), "a", []byte(`"hello"`)); err != nil {
		t.Fatal(err)
	}
	if ev := await(t, a, MessageHeard, "b"); string(ev.Payload) != `"hello"` {
		t.Errorf("a heard %s", show([]Event{ev}))
	}
}

// TestRealStateOfManyFragments sends a state that no single Ethernet frame holds.
func TestRealStateOfManyFragments(t *testing.T) {
	port := freePort(t, "127.0.77.1", "127.0.77.2")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.77.2"), port)
	a := openReal(t, "a", netip.AddrPortFrom(netip.MustParseAddr("127.0.77.1"), port), testKey(1))
	b := openReal(t, "b", at, testKey(1))
	a.SetPeers(map[string][]netip.AddrPort{"b": {at}})
	a.Beat("b") // of a run that is not known yet, the last datagram alone is kept
	await(t, b, BeatHeard, "a")
	long := `"` + strings.Repeat("x", 20_000) + `"`
	a.Publish([]byte(long))
	if ev := await(t, b, StateHeard, "a"); string(ev.Payload) != long {
		t.Errorf("b heard %d bytes", len(ev.Payload))
	}
}

func TestRealJoinWithAnotherKey(t *testing.T) {
	port := freePort(t, "127.0.77.1", "127.0.77.2")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.77.2"), port)
	a := openReal(t, "a", netip.AddrPortFrom(netip.MustParseAddr("127.0.77.1"), port), testKey(2))
	b := openReal(t, "b", at, testKey(1))
	_, err := a.Join(at)
	if err == nil {
		t.Fatal("joined")
	}
	checkJoinError(t, err, "joining "+at.String()+": it has another gossip key", "copy gossip.key")
	select { // it is told there, too
	case ev := <-b.Events():
		if ev.Kind != Refused || ev.Refusal.Kind != RefusedConnections || ev.Refusal.From != a.cfg.Bind.Addr() {
			t.Errorf("told %+v, %+v", ev, ev.Refusal)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing is told of the connection that was refused")
	}
}

func TestRealJoinOfNobody(t *testing.T) {
	port := freePort(t, "127.0.77.1", "127.0.77.2")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.77.2"), port)
	a := openReal(t, "a", netip.AddrPortFrom(netip.MustParseAddr("127.0.77.1"), port), testKey(1))
	_, err := a.Join(at)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("error %v", err)
	}
	checkJoinError(t, err, "joining "+at.String()+": dial tcp", "base address")
}

func TestOpenWhereItCannot(t *testing.T) {
	bind := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), freePort(t, "127.0.77.1"))
	p, err := Open(testConfig("b", bind))
	if p != nil || fault.CodeOf(err) != fault.Failed || !strings.Contains(fault.HintOf(err), "base address") ||
		!strings.HasPrefix(err.Error(), "entering the pool at "+bind.String()) {
		t.Errorf("%v, code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
	}
}

// Connections leave from the base: the alias, which the kernel would choose where
// it is the primary address, may go at any moment.
func TestConnectionsLeaveFromTheBase(t *testing.T) {
	from, to := netip.MustParseAddr("127.0.77.3"), netip.MustParseAddr("127.0.77.4")
	tr, err := openSockets(netip.AddrPortFrom(from, freePort(t, from.String())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Shutdown() })
	l, err := net.Listen("tcp", net.JoinHostPort(to.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := tr.DialTimeout(l.Addr().String(), deadline)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got := netip.MustParseAddrPort(in.RemoteAddr().String()).Addr(); got != from {
		t.Errorf("the connection comes from %s, want %s", got, from)
	}
}

// Another program that has the port is named as such, with the setting that helps,
// whichever of the two protocols it uses.
func TestPortThatIsTaken(t *testing.T) {
	addr := netip.MustParseAddr("127.0.77.5")
	for name, take := range map[string]func(netip.AddrPort) (io.Closer, error){
		"TCP": func(a netip.AddrPort) (io.Closer, error) { return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a)) },
		"UDP": func(a netip.AddrPort) (io.Closer, error) { return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a)) },
	} {
		bind := netip.AddrPortFrom(addr, freePort(t, addr.String()))
		other, err := take(bind)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(testConfig("a", bind))
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), "gossip.port") || !strings.Contains(err.Error(), fmt.Sprint(bind.Port())) {
			t.Errorf("%s: %v, code %d, hint %q", name, err, fault.CodeOf(err), fault.HintOf(err))
		}
		other.Close()
	}
}
