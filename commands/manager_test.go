package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// postgres is a server with one PostgreSQL that answers.
func postgres(system string, readOnly bool) *manager.Node {
	room := int64(1 << 40)
	d := &manager.Database{SystemID: system, ReadOnly: readOnly, Timeline: 3, Position: 0x3000060, Settings: map[string]string{"max_connections": "100"}}
	if readOnly {
		d.Upstream = &manager.Upstream{Host: "10.0.0.21", Status: "streaming"}
	} else {
		d.Followers = []manager.Follower{{Address: "10.0.0.13", State: "streaming"}}
	}
	return &manager.Node{Instances: []manager.Instance{{Name: "15/main", Major: 15, Port: 5432, DataDir: "/var/lib/postgresql/15/main", FreeBytes: &room, Database: d}}}
}

// managerWorld is srv1, whose PostgreSQL accepts writes, with an answer of sb1.
func managerWorld(t *testing.T, answer string) *world {
	t.Helper()
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.node = postgres("1", false)
	script := w.path("shell")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat <<'END'\n"+answer+"\nEND\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.environ["MXCLUSTER_SYNC_RSH"] = script
	return w
}

const followerAnswer = "Welcome to sb1\n" + factsMark + `{"server":"sb1","instances":[{"name":"15/main","major":15,"port":5432,"freeBytes":1099511627776,"database":` +
	`{"systemId":"1","readOnly":true,"timeline":3,"position":"0/3000000","received":"0/3000060","replayedAt":"2026-03-01T01:59:57Z","upstream":{"host":"10.0.0.21","status":"streaming"},"settings":{"max_connections":"200"}}}]}`

func TestManagerStatus(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	a := w.must(t, "manager", "status")
	want := `redundant: yes: srv1 accepts writes, sb1 streams from it; it lacks 96 B, and the last change that it has is 3s old
ROLE     SERVER  POSTGRESQL  STATE       TIMELINE  POSITION   FOLLOWS                WEB SERVER
master   srv1    15/main     read-write         3  0/3000060  -                      -
standby  sb1     15/main     read-only          3  0/3000000  10.0.0.21 (streaming)  -
`
	if plainLines(a.out) != plainLines(want) {
		t.Errorf("%s\nwant\n%s", a.out, want)
	}
	if !strings.Contains(a.err, "max_connections: 100 on srv1, 200 on sb1") {
		t.Errorf("%s", a.err)
	}
	a = w.must(t, "manager", "status", "-o", "json")
	for _, part := range []string{`"redundant": true`, `"activeOn": "srv1"`, `"bothActive": false`, `"lagBytes": 96`, `"lagMs": 3000`, `"position": "0/3000060"`, `"slots": []`} {
		if !strings.Contains(a.out, part) {
			t.Errorf("no %s in %s", part, a.out)
		}
	}
	w.write(t, "web", "#!/bin/sh\nexit 3\n", 0o755) // stopped
	w.environ["MXCLUSTER_MANAGER_WEB_SERVER"] = "exec:" + w.path("web")
	if a := w.must(t, "manager", "status"); !strings.Contains(a.out, "stopped") || !strings.Contains(a.err, "the web server on srv1, where the management system is active, is stopped") {
		t.Errorf("%s%s", a.out, a.err)
	}
	if a := w.must(t, "manager", "status", "-o", "json"); !strings.Contains(a.out, `"state": "stopped"`) || !strings.Contains(a.out, `"webServer": null`) {
		t.Errorf("%s", a.out)
	}
	delete(w.environ, "MXCLUSTER_MANAGER_WEB_SERVER")
	w.node = postgres("2", false)
	if a := w.must(t, "manager", "status"); !strings.HasPrefix(a.out, "redundant: no: the two servers have data of their own") {
		t.Errorf("%s", a.out)
	}
}

// plainLines leaves out spaces at the ends of lines.
func plainLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

// What the other server does not say is unknown, and why is told.
func TestManagerOfASilentServer(t *testing.T) {
	for answer, why := range map[string]string{
		"":                                      "the answer is not that of mxcluster",
		"sh: mxcluster: not found":              "not found",
		factsMark + "{":                         "reading the answer of mxcluster there",
		factsMark + `{"server":"srv2"}`:         "srv2 answers, not sb1",
		factsMark + `{"server":"sb1"}`:          "no PostgreSQL was found",
		strings.Repeat("x", maxMarked+1) + "\n": "the answer is not that of mxcluster",
	} {
		w := managerWorld(t, answer)
		a := w.must(t, "manager", "status", "-o", "json")
		if !strings.Contains(a.out, `"redundant": null`) || !strings.Contains(a.out, `"state": "unknown"`) || !strings.Contains(a.out, why) {
			t.Errorf("%.60q: %.2000s", answer, a.out)
		}
	}
}

func TestManagerCheck(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	if err := w.station(net.HardwareAddr{2, 0, 0, 0, 0, 9}, "10.0.0.20/24"); err != nil {
		t.Fatal(err)
	}
	if err := addAddresses(w.kernel, "eth0", "10.0.0.19/24"); err != nil {
		t.Fatal(err)
	}
	before, err := w.fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	for vip, want := range map[string]struct {
		code fault.Code
		text string
	}{
		"10.0.0.18":    {fault.OK, "10.0.0.18 is free"},
		"10.0.0.18/24": {fault.OK, "10.0.0.18 is free"},
		"10.0.0.20":    {fault.Refused, "10.0.0.20 is in use by 02:00:00:00:00:09"},
		"10.0.0.19":    {fault.Refused, "10.0.0.19 is in use by this server"},
		"10.0.0.11":    {fault.Refused, "10.0.0.11 is the alias of LIM 1"},
		"10.0.0.13":    {fault.Refused, "10.0.0.13 is the base of sb1"},
		"10.0.9.18":    {fault.Refused, "is not in the subnet of srv1"},
		"10.0.0.255":   {fault.Usage, "--vip"},
		"nonsense":     {fault.Usage, "--vip"},
	} {
		a := w.run(t.Context(), "manager", "check", "--vip", vip)
		if a.code != want.code || !strings.Contains(a.out+a.err, want.text) {
			t.Errorf("%s: code %d\n%s%s", vip, a.code, a.out, a.err)
		}
	}
	if after, err := w.fingerprint(); err != nil || after != before {
		t.Errorf("something was written: %v", err)
	}
	w.node.Instances[0].Database, w.node.Instances[0].Problem = nil, "it is not running"
	a := w.run(t.Context(), "manager", "check")
	if a.code != fault.Unknown || !strings.Contains(a.err, "pg_ctlcluster 15 main start") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	w.document(t, strings.Split(clusterconftest.OneCluster, "clusters:")[0])
	for _, verb := range []string{"discover", "check", "status"} {
		if a := w.run(t.Context(), "manager", verb); a.code != fault.Refused || !strings.Contains(a.err, "put LIM 1 into a cluster first") {
			t.Errorf("%s with LIM 1 in no cluster: code %d: %s", verb, a.code, a.err)
		}
	}
}

// What is missing is installed on this server where that is asked for, and not otherwise.
func TestManagerCheckInstalls(t *testing.T) {
	w := managerWorld(t, strings.Replace(followerAnswer, `{"server":"sb1",`, `{"server":"sb1","packages":[{"name":"snm","version":"2"}],`, 1))
	w.environ["MXCLUSTER_MANAGER_PACKAGES"] = "snm"
	found := w.node.Instances
	w.node.Instances, w.packages = nil, map[string]string{}
	var installed []string
	w.install = func(names []string) error {
		installed = append(installed, names...)
		w.node.Instances, w.packages["snm"] = found, "2"
		return nil
	}
	for _, args := range [][]string{{}, {"--yes"}, {"--install", "--dry-run"}} {
		a := w.run(t.Context(), slices.Concat([]string{"manager", "check"}, args)...)
		if a.code != fault.Refused || len(installed) > 0 || !strings.Contains(a.out, "snm is not installed") || !strings.Contains(a.out, "mxcluster manager check --install on srv1") {
			t.Errorf("%v: code %d, installed %v: %s%s", args, a.code, installed, a.out, a.err)
		}
		if len(args) == 2 && !strings.Contains(a.err, "would be installed on srv1: postgresql-15 snm") {
			t.Errorf("%s", a.err)
		}
	}
	w.write(t, "password", "geheim\n", 0o600)
	setup := []string{"manager", "setup", "--role", "master", "--vip", "10.0.0.18", "--replication-user", "replica", "--password-file", w.path("password")}
	w.half = &fakeHalf{}
	if a := w.run(t.Context(), setup...); a.code != fault.Refused || !strings.Contains(a.err, "--install on srv1") || len(installed) > 0 {
		t.Errorf("code %d, installed %v: %s", a.code, installed, a.err)
	}
	a := w.must(t, "manager", "check", "--install")
	if strings.Join(installed, " ") != "postgresql-15 snm" || !strings.Contains(a.out, "1 packages on both servers") {
		t.Errorf("installed %v: %s", installed, a.out)
	}
	if a := w.must(t, "manager", "check", "--install"); len(installed) != 2 || !strings.Contains(a.err, "no package is missing on srv1") {
		t.Errorf("once more: installed %v: %s", installed, a.err)
	}
	w.node.Instances, w.install = nil, func([]string) error { return errors.New("no such package") }
	if a := w.run(t.Context(), "manager", "check", "--install"); a.code != fault.Failed || !strings.Contains(a.err, "no such package") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

func TestManagerDiscover(t *testing.T) {
	w := managerWorld(t, followerAnswer)
	a := w.must(t, "manager", "discover")
	for _, part := range []string{"cluster c1, LIM 1 is reached at 10.0.0.11, fallback manual", "master", "accepts writes", "standby", "read-only"} {
		if !strings.Contains(a.out, part) {
			t.Errorf("no %s in\n%s", part, a.out)
		}
	}
	w.environ["MXCLUSTER_MANAGER_POSTGRES"] = "15/other"
	if a := w.must(t, "manager", "discover", "-o", "json"); !strings.Contains(a.out, `"problem": "there is no PostgreSQL 15/other"`) {
		t.Errorf("%s", a.out)
	}
	w.environ["MXCLUSTER_MANAGER_POSTGRES"] = "other"
	if a := w.run(t.Context(), "manager", "discover"); a.code != fault.Invalid || !strings.Contains(a.err, "manager.postgres") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

// A sync key asks for the management system where it is that of the other server of the pair.
func TestKeyAsksForItsOwnPair(t *testing.T) {
	doc := twoInC1(t)
	for _, tc := range []struct {
		key  syncKey
		me   string
		code fault.Code
	}{
		{syncKey{from: "srv1"}, "sb1", fault.OK},
		{syncKey{from: "sb1"}, "srv1", fault.OK},
		{syncKey{came: "10.0.0.21 1 10.0.0.13 22"}, "sb1", fault.OK},
		{syncKey{came: "10.9.0.21 1 10.0.0.13 22"}, "sb1", fault.NotPermitted},
		{syncKey{from: "srv2"}, "sb1", fault.NotPermitted},
		{syncKey{from: "srv3", orders: true}, "sb1", fault.NotPermitted},
		{syncKey{from: "nobody"}, "sb1", fault.NotPermitted},
		{syncKey{from: "srv1"}, "srv2", fault.NotPermitted},
		{syncKey{from: "sb1"}, "sb1", fault.NotPermitted},
		{syncKey{}, "sb1", fault.NotPermitted},
	} {
		if err := tc.key.mayAskManager(doc, tc.me); fault.CodeOf(err) != tc.code {
			t.Errorf("%+v on %s: %v", tc.key, tc.me, err)
		}
	}
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["MXCLUSTER_SERVER"], w.environ["SSH_ORIGINAL_COMMAND"] = "sb1", "mxcluster manager facts"
	w.node = postgres("1", true)
	node, err := readMarked[manager.Node](strings.NewReader(w.must(t, "sync", "ssh-command", "--from", "srv1").out), factsMark)
	if err != nil || node.Server != "sb1" || len(node.Instances) != 1 || node.Instances[0].Database.Position != 0x3000060 {
		t.Errorf("%+v, %v", node, err)
	}
	if a := w.run(t.Context(), "sync", "ssh-command", "--from", "srv2"); a.code != fault.NotPermitted || a.out != "" {
		t.Errorf("code %d: %s%s", a.code, a.out, a.err)
	}
}

// Another server that never ends its answer is given up by --timeout.
func TestManagerOfAServerThatHangs(t *testing.T) {
	w := managerWorld(t, "")
	if err := os.WriteFile(w.path("shell"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if a := w.run(t.Context(), "manager", "status", "--timeout", "100ms"); a.code != fault.Unknown || !strings.Contains(a.err, "gave up after 100ms") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}
