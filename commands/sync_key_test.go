package commands

import (
	"slices"
	"strings"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
)

// twoInC1 is a document with LIMs 1 and 2 in c1, whose standby is sb1, and LIM 3 in none.
func twoInC1(t *testing.T) *clusterconf.Document {
	t.Helper()
	doc, err := clusterconf.Parse("test", []byte(clusterconftest.OneCluster))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// A key opens the data of the LIMs that its server and this one may run, and no other.
func TestKeyOpensItsOwnServersLIMs(t *testing.T) {
	doc := twoInC1(t)
	for _, tc := range []struct {
		name string
		me   string
		key  syncKey
		lims []int
		code fault.Code
		old  bool
	}{
		{name: "a regular server's on its standby", me: "sb1", key: syncKey{from: "srv1"}, lims: []int{1}},
		{name: "the other one's", me: "sb1", key: syncKey{from: "srv2"}, lims: []int{2}},
		{name: "the standby's on a regular server", me: "srv2", key: syncKey{from: "sb1"}, lims: []int{2}},
		{name: "a regular server's on another", me: "srv2", key: syncKey{from: "srv1"}},
		{name: "that of a server of no cluster", me: "sb1", key: syncKey{from: "srv3", orders: true}},
		{name: "that of another standby", me: "srv1", key: syncKey{from: "sb2"}},
		{name: "that of a server that was removed", me: "sb1", key: syncKey{from: "srv9"}, code: fault.NotPermitted},
		{name: "the address counts for nothing where the name is there", me: "sb1", key: syncKey{from: "srv1", forced: true, came: "10.0.0.22 5 10.0.0.13 22"}, lims: []int{1}},
		{name: "of an earlier version, from a base", me: "sb1", key: syncKey{forced: true, came: "10.0.0.22 40000 10.0.0.13 22"}, lims: []int{2}, old: true},
		{name: "the same as IPv6 has it", me: "sb1", key: syncKey{forced: true, came: "::ffff:10.0.0.22 40000 ::1 22"}, lims: []int{2}, old: true},
		{name: "from an alias", me: "sb1", key: syncKey{forced: true, came: "10.0.0.11 40000 10.0.0.13 22"}, lims: []int{1}, old: true},
		{name: "from the standby", me: "srv1", key: syncKey{forced: true, came: "10.0.0.13 40000 10.0.0.21 22"}, lims: []int{1}, old: true},
		{name: "from elsewhere", me: "sb1", key: syncKey{forced: true, came: "10.0.0.77 40000 10.0.0.13 22"}, code: fault.NotPermitted},
		{name: "from nowhere", me: "sb1", key: syncKey{forced: true}, code: fault.NotPermitted},
		{name: "a login that may do anything", me: "sb1", key: syncKey{came: "10.0.0.77 40000 10.0.0.13 22"}, lims: []int{1, 2}},
	} {
		h, err := tc.key.holds(doc, tc.me)
		if fault.CodeOf(err) != tc.code || !slices.Equal(h.lims, tc.lims) || err == nil && h.lims == nil || (h.old != "") != tc.old {
			t.Errorf("%s: %+v, %v", tc.name, h, err)
		}
		if err != nil && fault.HintOf(err) == "" {
			t.Errorf("%s: no remedy: %v", tc.name, err)
		}
	}
}

// Nor may it order more of the other side than that, but where it was let in for it.
func TestKeyOrdersItsOwnServersSyncs(t *testing.T) {
	doc := twoInC1(t)
	for _, tc := range []struct {
		key  syncKey
		line string
		code fault.Code
	}{
		{syncKey{from: "srv1"}, "mxcluster sync c1 --lim 1", fault.OK},
		{syncKey{from: "srv1"}, "mxcluster sync c1 --lim 2", fault.NotPermitted},
		{syncKey{from: "srv1"}, "mxcluster sync c1 --lim 1 --lim 2", fault.NotPermitted},
		{syncKey{from: "srv1"}, "mxcluster sync c1", fault.NotPermitted},
		{syncKey{from: "srv3"}, "mxcluster sync c1 --lim 1", fault.NotPermitted},
		{syncKey{from: "srv3", orders: true}, "mxcluster sync c1", fault.OK},
		{syncKey{came: "10.0.0.21 1 10.0.0.13 22"}, "mxcluster sync c1 --lim 1", fault.OK},
		{syncKey{came: "10.0.0.21 1 10.0.0.13 22"}, "mxcluster sync c1", fault.NotPermitted},
	} {
		asked, err := parseSSHCommand(tc.line)
		if err != nil {
			t.Fatal(err)
		}
		tc.key.forced = true
		if err := tc.key.mayOrder(doc, "sb1", asked); fault.CodeOf(err) != tc.code || err != nil && !strings.Contains(fault.HintOf(err), "setup-ssh sb1 --orders") {
			t.Errorf("%+v, %q: %v", tc.key, tc.line, err)
		}
	}
}

// Asked by the forced command, both answer within what the key opens.
func TestSSHCommandHoldsToTheKey(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["MXCLUSTER_SERVER"] = "sb1"
	for line, want := range map[string]string{
		"mxcluster xdata serve":     "names no server, and the login comes from none",
		"mxcluster sync c1 --lim 1": "names no server, and the login comes from none",
	} {
		w.environ["SSH_ORIGINAL_COMMAND"] = line
		if a := w.run(t.Context(), "sync", "ssh-command"); a.code != fault.NotPermitted || !strings.Contains(a.err, want) || !strings.Contains(a.err, "sync setup-ssh sb1") {
			t.Errorf("%s: code %d: %s", line, a.code, a.err)
		}
	}
	w.environ["SSH_ORIGINAL_COMMAND"] = "mxcluster sync c1 --lim 2"
	if a := w.run(t.Context(), "sync", "ssh-command", "--from", "srv1"); a.code != fault.NotPermitted || !strings.Contains(a.err, "may not order a sync of LIM 2 on sb1") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}
