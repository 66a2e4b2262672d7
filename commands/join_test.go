package commands

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// joining is a world whose fetch answers with a document.
func joining(t *testing.T, text string) *world {
	t.Helper()
	w := newWorld(t.TempDir())
	w.environ["MXCLUSTER_SERVER"] = ""
	if err := addAddresses(w.kernel, "eth0", "10.0.0.22/24"); err != nil {
		t.Fatal(err)
	}
	w.stdin = strings.NewReader(base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n")
	w.fetch = func(from netip.AddrPort, keys [][]byte) (*clusterconf.Document, error) {
		if from != netip.MustParseAddrPort("10.0.0.11:7946") || len(keys) != 1 || len(keys[0]) != 32 {
			return nil, errors.New("asked wrongly")
		}
		return clusterconf.Parse("there", []byte(text))
	}
	return w
}

func TestJoin(t *testing.T) {
	w := joining(t, clusterconftest.OneCluster)
	before, err := w.fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.CreateTemp(t.TempDir(), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	if _, err := key.WriteString(base64.StdEncoding.EncodeToString(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	a := w.must(t, "join", "10.0.0.11", "--server", "srv2", "--key-file", key.Name(), "-n")
	if after, err := w.fingerprint(); err != nil || after != before {
		t.Errorf("the dry run wrote something (%v)", err)
	}
	if a.out != "srv2 would join the system\n" {
		t.Errorf("the dry run said %q", a.out)
	}
	a = w.must(t, "join", "10.0.0.11", "--server", "srv2", "--key-file", "-")
	if !strings.Contains(a.err, "srv2 is a server of the system, with its document of revision 6") {
		t.Errorf("said %q", a.err)
	}
	if a := w.must(t, "server", "show", "srv2", "-o", "name"); a.out != "srv2\n" {
		t.Errorf("server show: %q", a.out)
	}
	if settings, err := os.ReadFile(w.path("etc/mxcluster.yaml")); err != nil || !strings.Contains(string(settings), "server: srv2") {
		t.Errorf("settings %q, %v", settings, err)
	}
	// Again, with the key and the name that are here now.
	w.must(t, "join", "10.0.0.11")
}

func TestJoinRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setUp func(*testing.T, *world)
		bad
	}{
		{"unknown server", nil, bad{"join 10.0.0.11 --server srv22 --key-file -", 4, `joining the system at 10.0.0.11: the system has no server "srv22"`, `did you mean srv2`}},
		{"agent runs", func(_ *testing.T, w *world) { w.agent.running = true }, bad{"join 10.0.0.11 --server srv2 --key-file -", 3, `an agent runs here`, `stop the agent`}},
		{"bad key", func(_ *testing.T, w *world) { w.stdin = strings.NewReader("secret") }, bad{"join 10.0.0.11 --server srv2 --key-file -", 78, `gossip key`, `.`}},
		{"another server", nil, bad{"join 10.0.0.11 --server srv3 --key-file -", 3, `this machine has none of the addresses of srv3, whose base is 10.0.0.16/24`, `it has the base of srv2: --server srv2`}},
		{"no server", func(t *testing.T, w *world) {
			if err := errors.Join(w.kernel.Drop("eth0", netip.MustParsePrefix("10.0.0.22/24")), addAddresses(w.kernel, "eth0", "10.0.0.99/24")); err != nil {
				t.Fatal(err)
			}
		}, bad{"join 10.0.0.11 --server srv3 --key-file -", 3, `none of the addresses of srv3`, `ip address add 10.0.0.16/24 dev eth0`}},
		{"it lives", func(t *testing.T, w *world) {
			if err := w.station(net.HardwareAddr{2, 0, 0, 0, 0, 9}, "10.0.0.22/24"); err != nil {
				t.Fatal(err)
			}
		}, bad{"join 10.0.0.11 --server srv2 --key-file -", 3, `another machine, 02:00:00:00:00:09, answers for 10.0.0.22, the base of srv2`, `end that machine first`}},
		{"no key file", nil, bad{"join 10.0.0.11 --server srv2 --key-file /nonexistent/key", 78, `/nonexistent/key`, `.`}},
		{
			"other system", func(t *testing.T, w *world) {
				w.document(t, strings.Replace(clusterconftest.OneCluster, "TESTSYSTEM", "OTHERSYSTEM", 1))
			},
			bad{"join 10.0.0.11 --server srv2 --key-file -", 3, `cluster.yaml is of another system`, `remove the file`},
		},
		{
			"below the level", func(_ *testing.T, w *world) {
				w.fetch = func(netip.AddrPort, [][]byte) (*clusterconf.Document, error) {
					return clusterconf.Parse("the document of srv1", []byte(strings.Replace(clusterconftest.OneCluster, "level: 2\n", "level: 99\n", 1)))
				}
			},
			bad{"join 10.0.0.11 --server srv2 --key-file -", 3, `this server cannot join: the document is of level 99; this version of mxcluster reads it up to level 2`, `upgrade mxcluster on this server`},
		},
		{
			"nobody there", func(_ *testing.T, w *world) {
				w.fetch = func(netip.AddrPort, [][]byte) (*clusterconf.Document, error) {
					return nil, fault.New(fault.Unreachable, "check the address", "nobody answers")
				}
			},
			bad{"join 10.0.0.11 --server srv2 --key-file -", 5, `nobody answers`, `check the address`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := joining(t, clusterconftest.OneCluster)
			if tc.setUp != nil {
				tc.setUp(t, w)
			}
			tc.check(t, w)
		})
	}
}

// TestJoinWithASecondCard has this machine's other card in the same network answer for
// its base, as Linux does.
func TestJoinWithASecondCard(t *testing.T) {
	w := joining(t, clusterconftest.OneCluster)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	w.kernel.AddLink(netops.Link{Name: "eth1", Index: 9, MAC: mac, Up: true})
	if err := w.station(mac, "10.0.0.22/24"); err != nil {
		t.Fatal(err)
	}
	w.must(t, "join", "10.0.0.11", "--server", "srv2", "--key-file", "-")
}

// On a terminal what is missing is asked for.
func TestInitAsks(t *testing.T) {
	w := newWorld(t.TempDir())
	w.term = true
	w.stdin = strings.NewReader("srv7\n10.0.0.7/24\neth0\n")
	a := w.must(t, "init", "--lim", "7", "-q")
	if !strings.Contains(a.err, "Base address, e.g. 10.0.0.11/24: ") {
		t.Errorf("asked %q", a.err)
	}
	if a := w.must(t, "server", "list", "-o", "csv", "--no-headers"); a.out != "srv7,regular,10.0.0.7/24,eth0,7,,,\n" {
		t.Errorf("made %q", a.out)
	}
	// With --no-input it is an error, on a terminal too.
	w.stdin = strings.NewReader("srv7\n")
	if a := w.run(t.Context(), "init", "--no-input"); a.code != fault.Usage {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}
