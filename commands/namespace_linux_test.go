package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/netops"
)

// realPair lays a cable between a server, whose kernel the world's commands
// then ask, and a client beside it.
func realPair(t *testing.T) (w *realWorld, client *netns.NS) {
	t.Helper()
	here, client := netnstest.New(t), netnstest.New(t)
	err := errors.Join(
		netns.AddVeth(client, "eth0", here, "eth0", ownMAC),
		client.SetUp("eth0"), here.SetUp("eth0"),
		here.AddAddress("eth0", netip.MustParsePrefix("10.0.0.11/24")),
		client.AddAddress("eth0", netip.MustParsePrefix("10.0.0.100/24")),
	)
	if err != nil {
		t.Fatal(err)
	}
	w = &realWorld{world: newWorld(t.TempDir()), ns: here}
	eventually(t, func() bool {
		k, err := w.kernel()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		l, err := k.Link("eth0")
		return err == nil && l.Up
	})
	return w, client
}

// realWorld is a world on the kernel of a namespace.
type realWorld struct {
	*world
	ns *netns.NS
}

func (w *realWorld) kernel() (k Kernel, err error) {
	err = w.ns.Do(func() (err error) { k, err = netops.NewKernel(); return err })
	return k, err
}

func (w *realWorld) wire(ifname string) (c Wire, err error) {
	err = w.ns.Do(func() (err error) { c, err = netops.OpenWire(ifname); return err })
	return c, err
}

func (w *realWorld) run(t *testing.T, args string) answer {
	t.Helper()
	var out, errs strings.Builder
	env := w.env(&out, &errs)
	env.Kernel, env.Wire = w.kernel, w.wire
	code := Run(t.Context(), env, strings.Fields(args))
	return answer{code, out.String(), errs.String()}
}

func (w *realWorld) expect(t *testing.T, args string, code fault.Code, addresses ...string) answer {
	t.Helper()
	a := w.run(t, args)
	if a.code != code {
		t.Errorf("%s: code %d, want %d: %s", args, a.code, code, a.err)
	}
	k, err := w.kernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	list, err := k.Addresses("eth0")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, l := range list {
		have = append(have, l.Prefix.String())
	}
	if got, want := strings.Join(have, " "), strings.Join(addresses, " "); got != want {
		t.Errorf("after %s the kernel has %s, want %s", args, got, want)
	}
	return a
}

// eventually waits for what the kernel does a moment later.
func eventually(t *testing.T, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !reached() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("not reached after 10s")
		}
	}
}

// echo serves TCP in n and returns a client's connection to it from the other.
func echo(t *testing.T, n, client *netns.NS, at string) net.Conn {
	t.Helper()
	var l net.Listener
	netnstest.Do(t, n, func() (err error) { l, err = net.Listen("tcp4", at); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 16)
		for {
			k, err := c.Read(b)
			if err != nil {
				return
			}
			if _, err := c.Write(b[:k]); err != nil {
				return
			}
		}
	}()
	var c net.Conn
	netnstest.Do(t, client, func() (err error) {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp4", at)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// lives sends through a connection and waits for the echo.
func lives(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatalf("the connection broke: %v", err)
	}
	if _, err := c.Read(make([]byte, 16)); err != nil {
		t.Fatalf("the connection broke: %v", err)
	}
}

// The address exchange of create, on a real kernel: a connection through the
// old base, then alias, goes on; and taking the alias down leaves the base.
func TestRealKernel(t *testing.T) {
	w, client := realPair(t)
	w.document(t, clusterconftest.TwoLIMs)
	c := echo(t, w.ns, client, "10.0.0.11:4711")
	lives(t, c)
	w.expect(t, "create c1 --standby sb1 --lim 1=10.0.0.21", fault.OK, "10.0.0.11/24", "10.0.0.21/24")
	lives(t, c)
	a := w.expect(t, "alias show --no-headers", fault.OK, "10.0.0.11/24", "10.0.0.21/24")
	if !strings.Contains(a.out, "yes") || !strings.Contains(a.out, "permanent") {
		t.Errorf("alias show:\n%s", a.out)
	}
	w.expect(t, "alias down 1", fault.OK, "10.0.0.21/24")
	// Another station has the address by now: it is named, and left alone.
	if err := client.AddAddress("eth0", netip.MustParsePrefix("10.0.0.11/24")); err != nil {
		t.Fatal(err)
	}
	a = w.expect(t, "arp probe 10.0.0.11 --interface eth0", fault.Refused, "10.0.0.21/24")
	mac := strings.TrimSpace(a.out)
	if _, err := net.ParseMAC(mac); err != nil || mac == ownMAC.String() {
		t.Errorf("arp probe printed %q", a.out)
	}
	a = w.expect(t, "alias up 1", fault.Refused, "10.0.0.21/24")
	if !strings.Contains(a.err, "10.0.0.11 is in use by "+mac) {
		t.Errorf("alias up said %q, want the address %s", a.err, mac)
	}
	w.expect(t, "arp probe 10.0.0.77 --interface eth0", fault.OK, "10.0.0.21/24")
	// It runs elsewhere: its address cannot become the base here again.
	a = w.expect(t, "delete c1 --yes", fault.Refused, "10.0.0.21/24")
	if !strings.Contains(a.err, "its alias 10.0.0.11 is in use by "+mac) {
		t.Errorf("delete said %q", a.err)
	}
}

// The exchange of create turned round, on a real kernel: a connection through the
// alias goes on when that becomes the base again, and so it does the next time.
func TestRealKernelThereAndBack(t *testing.T) {
	w, client := realPair(t)
	w.document(t, clusterconftest.TwoLIMs)
	c := echo(t, w.ns, client, "10.0.0.11:4711")
	for range 2 {
		w.expect(t, "create c1 --standby sb1 --lim 1=10.0.0.21", fault.OK, "10.0.0.11/24", "10.0.0.21/24")
		lives(t, c)
		w.expect(t, "delete c1 --yes --dry-run", fault.OK, "10.0.0.11/24", "10.0.0.21/24")
		w.expect(t, "delete c1 --yes", fault.OK, "10.0.0.11/24")
		lives(t, c)
	}
}
