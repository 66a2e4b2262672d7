package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
)

// Leaving a cluster without an agent: the alias stays and becomes permanent, the
// former base goes last. What goes wrong leaves document and kernel as they were.
func TestLeaveHere(t *testing.T) {
	full := errors.New("no buffer space")
	for _, tc := range []struct {
		name      string
		addresses []string
		lease     bool // of the alias, as a stopped agent leaves it
		rival     string
		noHistory bool
		failOn    string
		code      fault.Code
		err       string
		want      string
	}{
		{name: "as created", addresses: []string{"10.0.0.11/24", "10.0.0.21/24"}, want: "10.0.0.11/24"},
		{name: "leased", addresses: []string{"10.0.0.21/24"}, lease: true, want: "10.0.0.11/24"},
		{name: "alias gone", addresses: []string{"10.0.0.21/24"}, want: "10.0.0.11/24"},
		{
			name: "on the standby", addresses: []string{"10.0.0.21/24"}, rival: "10.0.0.11/24", code: fault.Refused,
			err: "LIM 1 does not run on its regular server srv1: its alias 10.0.0.11 is in use by 02:00:00:00:00:09\nbring it back first: mxcluster fallback 1",
		},
		{name: "not stored", addresses: []string{"10.0.0.11/24", "10.0.0.21/24"}, noHistory: true, code: fault.Failed},
		{name: "leased, not stored", addresses: []string{"10.0.0.21/24"}, lease: true, noHistory: true, code: fault.Failed},
		{name: "alias gone, not stored", addresses: []string{"10.0.0.21/24"}, noHistory: true, code: fault.Failed},
		{name: "kernel fails", addresses: []string{"10.0.0.21/24"}, failOn: "EnsureBase", code: fault.Failed, err: "no buffer space"},
		{
			name: "base stays", addresses: []string{"10.0.0.11/24", "10.0.0.21/24"}, failOn: "Drop",
			err: "warning: the document is changed, but the former base of this server is still there: no buffer space", want: "10.0.0.11/24, 10.0.0.21/24",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.OneCluster)
				if err := addAddresses(w.kernel, "eth0", tc.addresses...); err != nil {
					t.Fatal(err)
				}
				if tc.lease {
					holdFor(t, w, "10.0.0.11/24", time.Minute)
				}
				if tc.rival != "" {
					if err := w.station(rivalMAC, tc.rival); err != nil {
						t.Fatal(err)
					}
				}
				if tc.noHistory {
					w.noHistory(t)
				}
				w.kernel.FailWith(func(op string) error {
					if op == tc.failOn {
						return full
					}
					return nil
				})
				before := w.addresses(t)
				a := w.run(t.Context(), "delete", "c1", "--yes")
				if tc.code == fault.OK != (a.code == fault.OK) || tc.code == fault.Refused && a.code != tc.code || !strings.Contains(a.err, tc.err) {
					t.Errorf("code %d: %s", a.code, a.err)
				}
				want := tc.want
				if want == "" {
					want = before
				}
				if got := w.addresses(t); got != want {
					t.Errorf("addresses are %s, want %s", got, want)
				}
				if kept := w.stored(t) == clusterconftest.OneCluster; kept != (tc.code != fault.OK) {
					t.Errorf("the document is kept: %v", kept)
				}
			})
		})
	}
}

// There and back through create, rollback and rollback again: this server has what
// the document says at each step.
func TestExchangeThereAndBackHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.TwoLIMs)
		if err := addAddresses(w.kernel, "eth0", "10.0.0.11/24"); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ args, want string }{
			{"create c1 --standby sb1 --lim 1=10.0.0.21", "10.0.0.11/24, 10.0.0.21/24"},
			{"config rollback 5 --yes", "10.0.0.11/24"},
			{"config rollback 6 --yes", "10.0.0.11/24, 10.0.0.21/24"},
			{"remove-lim c1 1 --yes", "10.0.0.11/24"},
			{"create c1 --standby sb1 --lim 1=10.0.0.31", "10.0.0.11/24, 10.0.0.31/24"},
			// The same cluster with another base: it leaves and enters.
			{"config rollback 6 --yes", "10.0.0.11/24, 10.0.0.21/24"},
		} {
			w.must(t, strings.Fields(step.args)...)
			if got := w.addresses(t); got != step.want {
				t.Errorf("after %s addresses are %s, want %s", step.args, got, step.want)
			}
		}
	})
}

// holdFor gives this server a lease of an address.
func holdFor(t *testing.T, w *world, address string, lease time.Duration) {
	t.Helper()
	if err := w.kernel.Hold("eth0", prefix(t, address), lease); err != nil {
		t.Fatal(err)
	}
}
