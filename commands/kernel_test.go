package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

var rivalMAC = net.HardwareAddr{2, 0, 0, 0, 0, 9}

// A create that cannot be done here leaves document and kernel as they were.
func TestCreateUndone(t *testing.T) {
	for _, tc := range []struct {
		name      string
		addresses []string
		rival     string
		fail      error
		code      fault.Code
		err       string
	}{
		{"new base in use", []string{"10.0.0.11/24"}, "10.0.0.21/24", nil, fault.Refused, "the new base 10.0.0.21 of srv1 is in use by 02:00:00:00:00:09"},
		{"no right", []string{"10.0.0.11/24"}, "", fault.New(fault.NotPermitted, "run as root", "set 10.0.0.21/24 on eth0"), fault.NotPermitted, "set 10.0.0.21/24"},
		{"kernel fails", []string{"10.0.0.11/24"}, "", errors.New("no buffer space"), fault.Failed, "no buffer space"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.TwoLIMs)
				if err := addAddresses(w.kernel, "eth0", tc.addresses...); err != nil {
					t.Fatal(err)
				}
				if tc.rival != "" {
					if err := w.station(rivalMAC, tc.rival); err != nil {
						t.Fatal(err)
					}
				}
				w.kernel.FailWith(func(string) error { return tc.fail })
				before := w.addresses(t)
				a := w.run(t.Context(), "create", "c1", "--standby", "sb1", "--lim", "1=10.0.0.21")
				if a.code != tc.code || !strings.Contains(a.err, tc.err) {
					t.Errorf("code %d: %s", a.code, a.err)
				}
				if got := w.addresses(t); got != before {
					t.Errorf("addresses are %s, were %s", got, before)
				}
				if text, err := os.ReadFile(w.path("etc/cluster.yaml")); err != nil || string(text) != clusterconftest.TwoLIMs {
					t.Errorf("the document changed (%v):\n%s", err, text)
				}
			})
		})
	}
}

// When the document cannot be written the new base goes again.
func TestCreateUndoesKernel(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.TwoLIMs)
	if err := addAddresses(w.kernel, "eth0", "10.0.0.11/24"); err != nil {
		t.Fatal(err)
	}
	// History cannot be kept: a file stands where its folder should be.
	if err := os.WriteFile(w.path("var"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := w.run(t.Context(), "create", "c1", "--standby", "sb1", "--lim", "1=10.0.0.21")
	if a.code == fault.OK {
		t.Fatal("it went well")
	}
	if got := w.addresses(t); got != "10.0.0.11/24" {
		t.Errorf("addresses are %s", got)
	}
}

// The document is prepared where the network is not there yet: the kernel is left
// alone, and the command says so.
func TestCreateBeforeNetwork(t *testing.T) {
	for _, tc := range []struct{ name, document, says string }{
		{"no interface", strings.ReplaceAll(clusterconftest.TwoLIMs, "eth0", "eth7"), "on srv1: there is no interface eth7; its addresses were left as they are"},
		{"base not here", clusterconftest.TwoLIMs, "on srv1: interface eth0 does not have 10.0.0.11/24, the base until now; its addresses were left as they are"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			if err := addAddresses(w.kernel, "eth0", "10.0.0.99/24"); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"create", "c1", "--standby", "sb1", "--lim", "1=10.0.0.21"}, {"delete", "c1", "--yes"}} {
				a := w.must(t, args...)
				if args[0] == "create" && !strings.Contains(a.err, tc.says) {
					t.Errorf("said %s", a.err)
				}
				if got := w.addresses(t); got != "10.0.0.99/24" {
					t.Errorf("after %s addresses are %s", args[0], got)
				}
			}
		})
	}
}

// announced collects the announcements of an address that a station hears.
func announced(t *testing.T, w *world) func() int {
	t.Helper()
	k := netopstest.NewKernel("listener", netops.Link{Name: "eth0", Index: 2, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 7}, Up: true})
	w.segment.Connect(k, "eth0")
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	heard := wire.Subscribe(t.Context())
	return func() int {
		n := 0
		for {
			select {
			case o := <-heard:
				if o.SenderIP.IsValid() && o.SenderIP == o.TargetIP && o.Op == netops.Request {
					n++
				}
			default:
				return n
			}
		}
	}
}

func TestAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		if err := addAddresses(w.kernel, "eth0", "10.0.0.21/24"); err != nil {
			t.Fatal(err)
		}
		heard := announced(t, w)
		step := func(args, said, addresses string, announcements int) {
			t.Helper()
			a := w.must(t, strings.Fields(args)...)
			if got := a.out + a.err; !strings.Contains(got, said) {
				t.Errorf("%s said %q, want %q", args, got, said)
			}
			if got := w.addresses(t); !strings.HasPrefix(got, addresses) || strings.Count(got, ",") != strings.Count(addresses, ",") {
				t.Errorf("after %s addresses are %s, want %s", args, got, addresses)
			}
			if n := heard(); n != announcements {
				t.Errorf("%s announced %d times, want %d", args, n, announcements)
			}
		}
		step("alias up 1 -n", "10.0.0.11/24 would be added to eth0", "10.0.0.21/24", 0)
		step("alias up 1", "10.0.0.11/24 is on eth0", "10.0.0.21/24, 10.0.0.11/24", 3)
		step("alias up 1", "is on eth0 already", "10.0.0.21/24, 10.0.0.11/24", 3)
		step("arp announce 10.0.0.11 --interface eth0 --count 2", "10.0.0.11 announced on eth0", "10.0.0.21/24, 10.0.0.11/24", 2)
		step("alias down 1 -n", "would be taken off eth0", "10.0.0.21/24, 10.0.0.11/24", 0)
		step("alias down 1", "10.0.0.11/24 is off eth0", "10.0.0.21/24", 0)
		step("alias down 1", "10.0.0.11/24 is not on eth0", "10.0.0.21/24", 0)
		step("alias up 1 --lease 30s", "is on eth0", "10.0.0.21/24, 10.0.0.11/24 for 2", 3)
		step("alias show --no-headers", "yes", "10.0.0.21/24, 10.0.0.11/24 for 2", 0)
		<-time.After(30 * time.Second) // of the bubble's clock
		step("alias show --no-headers", "no", "10.0.0.21/24", 0)
	})
}

func TestAliasInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		if err := w.station(rivalMAC, "10.0.0.11/24"); err != nil {
			t.Fatal(err)
		}
		a := w.run(t.Context(), "alias", "up", "1")
		if a.code != fault.Refused || !strings.Contains(a.err, "10.0.0.11 is in use by 02:00:00:00:00:09") || w.addresses(t) != "" {
			t.Errorf("code %d: %s", a.code, a.err)
		}
		w.must(t, "alias", "up", "1", "--no-probe")
		if got := w.addresses(t); got != "10.0.0.11/24" {
			t.Errorf("addresses are %s", got)
		}
	})
}

// An address that leaves between two announcements is not announced any more.
func TestAnnounceStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		heard := announced(t, w)
		a := w.run(t.Context(), "alias", "up", "1", "--lease", "1s")
		if a.code != fault.Refused || !strings.Contains(a.err, "it is up, but: announcing 10.0.0.11: eth0 does not have it") {
			t.Errorf("code %d: %s", a.code, a.err)
		}
		if n := heard(); n != 1 {
			t.Errorf("announced %d times", n)
		}
	})
}

func TestARP(t *testing.T) {
	for _, tc := range []struct {
		args     string
		code     fault.Code
		out, err string
	}{
		{"arp probe 10.0.0.77 --interface eth0", fault.OK, "", "mxcluster: 10.0.0.77 is free on eth0\n"},
		{"arp probe 10.0.0.11/24 --interface eth0", fault.Refused, "02:00:00:00:00:09\n", "mxcluster: 10.0.0.11 is in use by 02:00:00:00:00:09\n"},
		{"arp probe 10.0.0.77 --interface eth0 -o json", fault.OK, `{
  "apiVersion": "mxcluster/v1",
  "kind": "ProbeResult",
  "address": "10.0.0.77",
  "interface": "eth0",
  "inUse": false,
  "mac": null
}
`, ""},
		{"arp probe 10.0.0.77 --interface eth7", fault.NotFound, "", "mxcluster: "},
		{"arp announce 10.0.0.77 --interface eth0", fault.Refused, "", "mxcluster: announcing 10.0.0.77: eth0 does not have it\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				if err := w.station(rivalMAC, "10.0.0.11/24"); err != nil {
					t.Fatal(err)
				}
				a := w.run(t.Context(), strings.Fields(tc.args)...)
				if a.code != tc.code || a.out != tc.out || !strings.HasPrefix(a.err, tc.err) {
					t.Errorf("code %d, output %q, error %q; want %d, %q, %q", a.code, a.out, a.err, tc.code, tc.out, tc.err)
				}
			})
		})
	}
}
