package netns_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
)

// threadNS names the network namespace of the calling thread.
func threadNS(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// interfaces lists the names of the interfaces in n.
func interfaces(t *testing.T, n *netns.NS) string {
	t.Helper()
	var names []string
	netnstest.Do(t, n, func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			names = append(names, i.Name)
		}
		return err
	})
	return strings.Join(names, " ")
}

func TestNewLeavesTheCallersThreadAlone(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadNS(t)
	n := netnstest.New(t)
	var inside string
	netnstest.Do(t, n, func() error { inside = threadNS(t); return nil })
	if after := threadNS(t); after != before {
		t.Errorf("thread moved from %s to %s", before, after)
	}
	if inside == before {
		t.Errorf("fn ran in %s, the namespace of the caller", inside)
	}
	if got := interfaces(t, n); got != "lo" {
		t.Errorf("interfaces of a fresh namespace: %q, want lo alone", got)
	}
	main, err := os.Readlink("/proc/self/ns/net")
	if err != nil || main != before {
		t.Errorf("the process is seen in %s (%v), want %s", main, err, before)
	}
}

func TestLoopbackIsUp(t *testing.T) {
	n := netnstest.New(t)
	netnstest.Do(t, n, func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func TestDoReturnsErrorAndEndsWithItsFunction(t *testing.T) {
	n := netnstest.New(t)
	want := errors.New("from inside")
	if err := n.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	reached, ended := false, make(chan struct{})
	go func() {
		defer close(ended)
		_ = n.Do(func() error { runtime.Goexit(); return nil })
		reached = true
	}()
	<-ended
	if reached {
		t.Error("Do returned though its function ended the goroutine")
	}
}

// Many goroutines enter and leave; afterwards none of the threads that the
// runtime reuses may be left inside.
func TestThreadsComeBack(t *testing.T) {
	outside := threadNS(t)
	spaces := []*netns.NS{netnstest.New(t), netnstest.New(t)}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			_ = spaces[i%2].Do(func() error {
				return spaces[(i+1)%2].Do(func() error { return nil })
			})
			if got := threadNS(t); got != outside {
				t.Errorf("goroutine %d runs in %s, want %s", i, got, outside)
			}
		})
	}
	wg.Wait()
}

func TestCurrentAndFromPID(t *testing.T) {
	n := netnstest.New(t)
	var inside string
	var current *netns.NS
	var cmd *exec.Cmd
	netnstest.Do(t, n, func() (err error) {
		inside = threadNS(t)
		if current, err = netns.Current(); err != nil {
			return err
		}
		cmd = exec.Command("cat")
		cmd.Stdin, err = os.Open("/dev/zero")
		if err != nil {
			return err
		}
		return cmd.Start()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ofProcess, err := netns.FromPID(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, ns := range map[string]*netns.NS{"current": current, "of process": ofProcess} {
		netnstest.Do(t, ns, func() error {
			if got := threadNS(t); got != inside {
				t.Errorf("%s: in %s, want %s", name, got, inside)
			}
			return nil
		})
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := netns.FromPID(1 << 30); err == nil {
		t.Error("opened the namespace of a process that does not exist")
	}
}

// cable lays two hosts on a bridge: 10.9.0.1 in the first, 10.9.0.2 in the second.
func cable(t *testing.T) (bridge, a, b *netns.NS) {
	t.Helper()
	bridge, a, b = netnstest.New(t), netnstest.New(t), netnstest.New(t)
	steps := []error{netns.AddBridge(bridge, "br0")}
	for i, host := range []*netns.NS{a, b} {
		port := fmt.Sprintf("port%d", i+1)
		mac := net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}
		steps = append(steps,
			netns.AddVeth(bridge, port, host, "eth0", mac),
			bridge.Attach(port, "br0"), bridge.SetUp(port),
			host.AddAddress("eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), 24)),
			host.SetUp("eth0"))
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	return bridge, a, b
}

func TestTopologyCarriesTraffic(t *testing.T) {
	_, a, b := cable(t)
	var l net.Listener
	netnstest.Do(t, b, func() (err error) { l, err = net.Listen("tcp", "10.9.0.2:0"); return err })
	defer l.Close()
	netnstest.Do(t, a, func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		return c.Close()
	})
	if mac, err := a.HardwareAddr("eth0"); err != nil || mac.String() != "02:00:00:00:00:01" {
		t.Errorf("MAC %v (%v), want the one asked for", mac, err)
	}
}

func TestTopologyChanges(t *testing.T) {
	bridge, a, _ := cable(t)
	address := netip.MustParsePrefix("10.9.0.1/24")
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"default route", func() error { return a.AddDefaultRoute("eth0", netip.MustParseAddr("10.9.0.254")) }},
		{"delete address", func() error { return a.DeleteAddress("eth0", address) }},
		{"down", func() error { return a.SetDown("eth0") }},
		{"delete", func() error { return bridge.Delete("port1") }},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if got := interfaces(t, a); got != "lo" {
		t.Errorf("interfaces after the cable was removed: %q, want lo", got)
	}
	err := a.SetUp("eth0")
	if err == nil || !strings.Contains(err.Error(), "find interface eth0") {
		t.Errorf("set up a missing interface: %v", err)
	}
	for name, err := range map[string]error{
		"attach":  bridge.Attach("port2", "br9"),
		"mac":     func() error { _, err := a.HardwareAddr("eth9"); return err }(),
		"address": a.AddAddress("eth9", address),
	} {
		if err == nil {
			t.Errorf("%s: no error for what does not exist", name)
		}
	}
}

// An ordinary user gets the same by a user namespace.
func TestInsideUserNamespace(t *testing.T) {
	if netnstest.InUserNamespace(t) {
		TestTopologyCarriesTraffic(t)
	}
}

// Without the right to make namespaces the error says so and names the remedy.
func TestNotPermitted(t *testing.T) {
	if !netnstest.AsNobody(t) {
		return
	}
	_, err := netns.New()
	if fault.CodeOf(err) != fault.NotPermitted || fault.HintOf(err) == "" {
		t.Errorf("error %v with code %d and hint %q", err, fault.CodeOf(err), fault.HintOf(err))
	}
}
