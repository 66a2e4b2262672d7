package commands

import (
	"os"
	"strings"
	"testing"

	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// menu runs the menu with these answers, one a line.
func (w *world) menu(t *testing.T, answers ...string) answer {
	t.Helper()
	w.term, w.stdin = true, strings.NewReader(strings.Join(answers, "\n")+"\n")
	return w.run(t.Context(), "menu")
}

// Every action comes to the command line that a person could have typed, and that
// runs.
func TestMenuActions(t *testing.T) {
	const locked = "priority: 100\n        lock:\n          to: regular\n          since: 2026-03-01T00:00:00Z\n          by: ann\n"
	for _, tc := range []struct {
		name, document string
		answers        string // separated by blanks, "-" for an empty one
		command        string
		done           string // a part of what the command shows
	}{
		{"list, by number", clusterconftest.OneCluster, "1 1", "mxcluster list c1", "10.0.0.21/24"},
		{"list of all", clusterconftest.OneCluster, "list -", "mxcluster list", "10.0.0.21/24"},
		{"status", clusterconftest.OneCluster, "2 all", "mxcluster status", "unknown"},
		{"create", clusterconftest.OneCluster, "3 c2 - - 10.0.0.36 - - - - -", "mxcluster create c2 --standby sb2 --lim 3=10.0.0.36 --yes", "cluster c2 created"},
		{"create with all", clusterconftest.OneCluster, "3 c2 sb2 3 10.0.0.36 7 automatic 300ms standby nightly yes",
			"mxcluster create c2 --standby sb2 --lim 3=10.0.0.36,priority=7 --fallback automatic --failover-after 300ms --split-brain-stop standby --rehearse nightly --yes", "cluster c2 created"},
		{"change", clusterconftest.OneCluster, "4 c1 automatic 5 - 2s standby nightly -",
			"mxcluster change c1 --fallback automatic --priority 1=5 --failover-after 2s --split-brain-stop standby --rehearse nightly --yes", "cluster c1 changed"},
		{"add-lim", clusterconftest.OneCluster, "6 c1 3 10.0.0.36 - yes", "mxcluster add-lim c1 3 --base 10.0.0.36 --yes", "LIM 3 added"},
		{"add-lim with priority", clusterconftest.OneCluster, "add-lim - - 10.0.0.36 9 yes", "mxcluster add-lim c1 3 --base 10.0.0.36 --priority 9 --yes", "LIM 3 added"},
		{"remove-lim", clusterconftest.OneCluster, "7 c1 2 yes", "mxcluster remove-lim c1 2 --yes", "LIM 2"},
		{"delete", clusterconftest.OneCluster, "8 c1 yes", "mxcluster delete c1 --yes", "cluster c1"},
		{"lock", clusterconftest.OneCluster, "10 2 - - - - -", "mxcluster lock 2 --to regular --yes", "LIM 2 is locked to regular"},
		{"unlock", strings.Replace(clusterconftest.OneCluster, "priority: 100\n", locked, 1), "11 - -", "mxcluster unlock 1 --yes", "LIM 1"},
		{"sync of all", clusterconftest.TwoLIMs, "12 all yes", "mxcluster sync --all --yes", "nothing to synchronise"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			if err := addAddresses(w.kernel, "eth0", "10.0.0.11/24", "10.0.0.21/24"); err != nil {
				t.Fatal(err)
			}
			answers := strings.Fields(tc.answers)
			for i := range answers {
				answers[i] = strings.TrimPrefix(answers[i], "-")
			}
			a := w.menu(t, append(answers, "q")...)
			if a.code != fault.OK || !strings.Contains(a.err, "\n  "+tc.command+"\n") || !strings.Contains(a.out+a.err, tc.done) {
				t.Errorf("code %d, want %q and %q\n%s%s", a.code, tc.command, tc.done, a.out, a.err)
			}
		})
	}
}

// What needs an agent gets its word, in the menu too.
func TestMenuOrders(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running = true
	w.agent.answer = control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"}
	w.agent.statuses = []*status.ClusterStatus{{Clusters: []status.StatusCluster{}}}
	a := w.menu(t, "9", "1", "no", "yes", "q")
	if a.code != fault.OK || !strings.Contains(a.err, "\n  mxcluster fallback 1 --now --yes\n") {
		t.Errorf("code %d\n%s", a.code, a.err)
	}
	if n := len(w.agent.orders); n != 2 || !w.agent.orders[0].DryRun || w.agent.orders[1].DryRun || !w.agent.orders[1].Now {
		t.Errorf("orders %+v, want one dry run and then the order", w.agent.orders)
	}
}

// Nothing changes before there is a yes, and what is refused is refused before it
// is asked for.
func TestMenuChangesNothingWithoutYes(t *testing.T) {
	preloaded := strings.Replace(clusterconftest.OneCluster, "failover: normal", "failover: preloaded", 1)
	preloaded = preloaded[:strings.Index(preloaded, "      - lim: 2")]
	for _, tc := range []struct{ name, document, answers, shown string }{
		{"delete, by default", clusterconftest.OneCluster, "8 c1 -", "mxcluster delete c1"},
		{"remove-lim, by default", clusterconftest.OneCluster, "7 c1 2 -", "Run it, yes or no [no]"},
		{"create, no", clusterconftest.OneCluster, "3 c2 - - 10.0.0.36 - - - - - no", "Run it, yes or no [yes]"},
		{"change of nothing", clusterconftest.OneCluster, "4 - - - - - - -", "nothing is to be changed of cluster c1"},
		{"preload of two LIMs", clusterconftest.OneCluster, "5 c1", "cannot preload cluster c1"},
		{"nothing to unlock", clusterconftest.OneCluster, "11", "unlock cannot be done now: no LIM is locked"},
		{"nothing to preload", preloaded, "5", "preload cannot be done now: every cluster is preloaded"},
		{"no standby to create with", strings.Replace(clusterconftest.TwoLIMs, "    standby: true\n", "", 1), "3 c2",
			"create cannot be done now: there is no standby server without a cluster; 'mxcluster server to-standby SRV' makes one"},
		{"no cluster to delete", clusterconftest.TwoLIMs, "8", "delete cannot be done now: there is no cluster yet"},
		{"a name that is not there", clusterconftest.OneCluster, "8 c2 c1 no", "did you mean c1?"},
		{"an action that is not there", clusterconftest.OneCluster, "dilete", "did you mean delete?"},
		{"the answers end", clusterconftest.OneCluster, "3 c2", "Standby server"},
		{"no document", "", "1", "cluster document"},
		{"a broken document", "servers: [", "1", "cluster.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			if tc.document != "" {
				w.document(t, tc.document)
			}
			before, err := w.fingerprint()
			if err != nil {
				t.Fatal(err)
			}
			answers := strings.Fields(tc.answers)
			for i := range answers {
				answers[i] = strings.TrimPrefix(answers[i], "-")
			}
			a := w.menu(t, answers...) // and then they end
			if a.code != fault.OK || !strings.Contains(a.err, tc.shown) {
				t.Errorf("code %d, want %q\n%s", a.code, tc.shown, a.err)
			}
			if after, err := w.fingerprint(); err != nil || after != before {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

// Commands that the menu runs work on the instance that it was given.
func TestMenuPassesGlobalFlags(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	folder := "--config-dir=" + w.path("etc")
	w.term, w.environ["MXCLUSTER_CONFIG_DIR"] = true, w.path("nowhere")
	w.stdin = strings.NewReader("1\n\nq\n")
	a := w.run(t.Context(), "--yes", folder, "-o", "csv")
	if a.code != fault.OK || !strings.HasPrefix(a.out, "CLUSTER,LIM,") || !strings.Contains(a.err, "  mxcluster list "+folder+" --output=csv\n") {
		t.Errorf("code %d, %q\n%s", a.code, a.out, a.err)
	}
}

// A script that comes to the menu by mistake must not wait for answers.
func TestMenuNeedsATerminal(t *testing.T) {
	w := newWorld(t.TempDir())
	for args, want := range map[string]string{
		"":                "a command is missing",
		"menu":            "asks its questions on a terminal only",
		"menu --no-input": "asks its questions on a terminal only",
		"--no-input":      "a command is missing",
	} {
		w.term = strings.Contains(args, "--no-input")
		w.stdin = strings.NewReader("q\n")
		a := w.run(t.Context(), strings.Fields(args)...)
		if a.code != fault.Usage || !strings.Contains(a.err, want) || !strings.Contains(a.err, "--help") {
			t.Errorf("%q: code %d, %q", args, a.code, a.err)
		}
	}
}

// Quoted, a line of the menu can be pasted to a shell.
func TestCommandLine(t *testing.T) {
	for want, argv := range map[string][]string{
		"mxcluster lock 1 --reason 'new memory'": {"lock", "1", "--reason", "new memory"},
		"mxcluster lock 1 --reason \"it's up\"":  {"lock", "1", "--reason", "it's up"},
		"mxcluster create c1 --lim 1=10.0.0.1":   {"create", "c1", "--lim", "1=10.0.0.1"},
	} {
		if got := commandLine("mxcluster", argv); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The menu begins with the specification's actions; each is a command of the tree.
func TestMenuHasTwelveActions(t *testing.T) {
	w := newWorld(t.TempDir())
	root := New(w.env(nil, nil))
	var names []string
	for _, x := range actions() {
		c, rest, err := root.Find(strings.Fields(x.command))
		if err != nil || c.CommandPath() != "mxcluster "+x.command || len(rest) > 0 {
			t.Errorf("%s is no command: %v", x.command, err)
		}
		names = append(names, x.command)
	}
	if got := strings.Join(names[:12], " "); got != "list status create change preload add-lim remove-lim delete fallback lock unlock sync" {
		t.Errorf("the first twelve are %s", got)
	}
}

// What cannot be done now is listed with the reason, and has no number to choose it by.
func TestMenuSaysWhyNot(t *testing.T) {
	for _, tc := range []struct {
		name, document string
		shown          []string
	}{
		{"no document", "", []string{"   -  list            not now: no cluster document", "  18  init ", "  19  join "}},
		{"no cluster", clusterconftest.TwoLIMs, []string{"   1  list", "   3  create", "   -  change          not now: there is no cluster yet", "   -  init            not now: there is a cluster document here already"}},
		{"no agent", clusterconftest.OneCluster, []string{"   8  delete", "   -  fallback        not now: no agent answers here", "   -  unlock          not now: no LIM is locked", "  16  server drain", "   -  server undrain  not now: no server is drained"}},
	} {
		w := newWorld(t.TempDir())
		if tc.document != "" {
			w.document(t, tc.document)
		}
		a := w.menu(t, "q")
		for _, want := range tc.shown {
			if !strings.Contains(a.err, "\n"+want) {
				t.Errorf("%s: no %q in\n%s", tc.name, want, a.err)
			}
		}
	}
}

// The question before is asked again, with what was answered before that kept; the first one leads
// to the list, and ? explains.
func TestMenuGoesBack(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	a := w.menu(t, "lock", "1", "standby", "<", "regular", "<", "<", "?", "2", "regular", "1h", "memory", "<", "disk", "no", "<", "no", "no", "?", "q")
	if a.code != fault.OK || !strings.Contains(a.err, "\n  mxcluster lock 2 --to regular --for 1h --reason disk --yes\n") {
		t.Errorf("code %d\n%s", a.code, a.err)
	}
	if n := strings.Count(a.err, "Run it, yes or no"); n != 2 {
		t.Errorf("it is asked %d times whether it is to be run", n)
	}
	if n := strings.Count(a.err, "\nCluster handling\n"); n != 2 {
		t.Errorf("the actions are listed %d times, want at the beginning and for ?", n)
	}
	if !strings.Contains(a.err, "< goes back to the question before.") {
		t.Errorf("? says nothing:\n%s", a.err)
	}
	if b := w.menu(t, "lock", "<", "q"); b.code != fault.OK || strings.Contains(b.err, "back to the question") {
		t.Errorf("back from the first question: code %d\n%s", b.code, b.err)
	}
}

// The management system is set up by the menu, which checks the answers, and has five utilities then,
// of which the one that takes it down is not done by default.
func TestMenuOfTheManagementSystem(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	half := &fakeHalf{}
	w.half = half
	w.write(t, "password", "geheim\n", 0o600)
	w.write(t, "open", "geheim\n", 0o644)
	w.accounts = map[string]string{"mxone_manager": ""}
	a := w.menu(t, "manager", "setup", "", "10.0.0.11", "10.0.0.18", "replica", w.path("open"), w.path("password"), w.path("password"), "", "yes", "q")
	command := "\n  mxcluster manager setup --role master --vip 10.0.0.18 --replication-user replica --password-file " + w.path("password") + " --manager-password-file " + w.path("password") + " --yes\n"
	for _, want := range []string{command, "10.0.0.11 is the virtual address of the management system and the alias of LIM 1", "others may read", "the management system is set up on srv1"} {
		if a.code != fault.OK || !strings.Contains(a.err+a.out, want) {
			t.Fatalf("code %d, no %q in\n%s%s", a.code, want, a.err, a.out)
		}
	}
	if strings.Contains(a.err+a.out, "geheim") || half.kept == nil || w.accounts["mxone_manager"] != "geheim" {
		t.Errorf("%+v, %v:\n%s", half.kept, w.accounts, a.err)
	}
	a = w.menu(t, "20", "status", "manager", "reconfigure", "master", "", "", w.path("password"), "", "on", "no",
		"manager", "fallback", "manager", "reconfigure-fallback", "yes", "manager", "remove", "", "q")
	for _, want := range []string{"\n  mxcluster manager status\n", "--vip 10.0.0.18 --replication-user replica --password-file " + w.path("password") + " --synchronous on --yes\n",
		"\n  mxcluster manager reconfigure-fallback --yes\n", "is that of its cluster already", "\n  mxcluster manager remove --yes\n", "Run it, yes or no [no]"} {
		if a.code != fault.OK || !strings.Contains(a.err+a.out, want) {
			t.Errorf("code %d, no %q in\n%s%s", a.code, want, a.err, a.out)
		}
	}
	if half.kept == nil {
		t.Error("it was taken down without a yes")
	}
	if a := w.menu(t, "manager", "remove", "yes", "q"); a.code != fault.OK || half.kept != nil {
		t.Errorf("code %d\n%s", a.code, a.err)
	}
}

// A server becomes the first one of a system, and is drained and explained, by the menu as well.
func TestMenuBesides(t *testing.T) {
	w := newWorld(t.TempDir())
	a := w.menu(t, "init", "srv1", "10.0.0.11/24", "nope", "eth0", "1", "yes", "q")
	if a.code != fault.OK || !strings.Contains(a.err, "\n  mxcluster init --server srv1 --base 10.0.0.11/24 --interface eth0 --lim 1 --yes\n") || !strings.Contains(a.err, "there is no interface nope") {
		t.Errorf("init: code %d\n%s", a.code, a.err)
	}
	if _, err := os.Stat(w.path("etc/cluster.yaml")); err != nil {
		t.Error(err)
	}
	w = newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	a = w.menu(t, "server drain", "srv2", "2h", "memory", "yes", "explain", "1", "q")
	if a.code != fault.OK || !strings.Contains(a.err, "\n  mxcluster server drain srv2 --for 2h --reason memory --yes\n") || !strings.Contains(a.err, "\n  mxcluster explain 1\n") {
		t.Errorf("code %d\n%s", a.code, a.err)
	}
	w.agent.running = true
	w.agent.statuses = []*status.ClusterStatus{mixed()} // LIM 1 is on the standby, LIM 2 at home
	w.agent.answer = control.OrderResult{Target: "sb1", Text: "LIM 2 moves to sb1"}
	a = w.menu(t, "failover", "1", "2", "yes", "yes", "q")
	if a.code != fault.OK || !strings.Contains(a.err, "\n  mxcluster failover 2 --yes\n") || !strings.Contains(a.err, `"1" is not there to choose`) {
		t.Errorf("failover: code %d\n%s", a.code, a.err)
	}
}
