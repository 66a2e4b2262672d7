package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"mxcluster/internal/check"
	"mxcluster/internal/fault"
)

// checking is srv1, which reaches no other server.
func checking(t *testing.T) *world {
	t.Helper()
	w := newWorld(t.TempDir())
	if err := addAddresses(w.kernel, "eth0", "10.0.0.21/24"); err != nil {
		t.Fatal(err)
	}
	w.document(t, clusterconftest.OneCluster)
	w.file(t, "etc/mxcluster.yaml", "sync:\n  rsh: "+w.path("no-such-shell")+"\n", 0o644)
	return w
}

// Servers that cannot be asked are unknown, never ok, and the exit code says the gravest thing.
func TestCheckOfServersThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := checking(t)
	a := w.run(t.Context(), "check", "-o", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(a.out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, a.out, a.err)
	}
	if a.code != fault.Refused || r.Kind != "CheckReport" || r.Observer != "srv1" || r.Result != check.Failed {
		t.Errorf("code %d, %s of %s: %s\n%s", a.code, r.Kind, r.Observer, r.Result, a.err)
	}
	unasked := 0
	for _, f := range r.Findings {
		if f.Name == "facts" && f.Verdict == check.Unknown {
			unasked++
		}
		if f.Verdict == check.OK && f.Server != "srv1" && f.Server != "" {
			t.Errorf("%s was not asked, and has %+v", f.Server, f)
		}
	}
	if unasked != 5 {
		t.Errorf("%d servers not asked, want 5", unasked)
	}
}

func TestCheckAsPlugin(t *testing.T) {
	t.Parallel()
	w := checking(t)
	if a := w.run(t.Context(), "check", "--check"); a.code != 2 || !strings.HasPrefix(a.out, "CRITICAL - ") || strings.Count(a.out, "\n") != 1 {
		t.Errorf("code %d: %s%s", a.code, a.out, a.err)
	}
	w.file(t, "etc/cluster.yaml", "nothing\n", 0o644)
	if a := w.run(t.Context(), "check", "--check"); a.code != 3 || !strings.HasPrefix(a.out, "UNKNOWN - ") {
		t.Errorf("without a document code %d: %s%s", a.code, a.out, a.err)
	}
}

func TestCheckOfAClusterThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := checking(t)
	if a := w.run(t.Context(), "check", "c9"); a.code != fault.NotFound || !strings.Contains(a.err, `there is no cluster "c9"`) {
		t.Errorf("code %d: %s%s", a.code, a.out, a.err)
	}
}

// Of a setting of ARP, the larger of the interface's and of all interfaces' counts; one that is not
// seen whole is not told.
func TestFactsOfARP(t *testing.T) {
	t.Parallel()
	w := checking(t)
	files := fstest.MapFS{}
	w.files = files
	for name, value := range map[string]string{"all/drop_gratuitous_arp": "0", "eth0/drop_gratuitous_arp": "1", "eth0/arp_ignore": "2"} {
		files["proc/sys/net/ipv4/conf/"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
	facts, err := readMarked[check.Facts](strings.NewReader(w.must(t, "check", "--facts").out), checkMark)
	if err != nil || len(facts.ARP) != 1 || facts.ARP[check.DropGratuitousARP] != 1 {
		t.Errorf("%+v, %v", facts, err)
	}
}

// By the key of its syncs another server of the system may ask, and nobody else.
func TestFactsAreToldByTheKeyOfSyncs(t *testing.T) {
	t.Parallel()
	w := checking(t)
	w.environ["SSH_ORIGINAL_COMMAND"] = "mxcluster check --facts"
	a := w.must(t, "sync", "ssh-command", "--from", "sb1")
	facts, err := readMarked[check.Facts](strings.NewReader("a greeting\n"+a.out), checkMark)
	if err != nil || facts.Server != "srv1" || facts.Revision != 6 || len(facts.Addresses) != 1 || facts.Link == nil || facts.Agent != nil {
		t.Errorf("%+v, %v", facts, err)
	}
	if a := w.run(t.Context(), "sync", "ssh-command", "--from", "nobody"); a.code != fault.NotPermitted || a.out != "" {
		t.Errorf("a key of nobody: code %d: %s%s", a.code, a.out, a.err)
	}
	for _, text := range []string{"mxcluster check", "mxcluster check --facts c1", "mxcluster check --check", "check --facts", "mxcluster check --echo c1", "mxcluster check --facts --echo", "mxcluster check --bandwidth"} {
		if c, err := parseSSHCommand(text); err == nil {
			t.Errorf("%q is taken as %+v", text, c)
		}
	}
}

// So may it measure the way, within bounds.
func TestEchoByTheKeyOfSyncs(t *testing.T) {
	t.Parallel()
	w := checking(t)
	w.environ["SSH_ORIGINAL_COMMAND"] = "mxcluster check --echo"
	w.stdin = strings.NewReader("up 5\n12345down 3\n")
	out := w.must(t, "sync", "ssh-command", "--from", "sb1").out
	if answer, found := strings.CutPrefix(out, echoMark); !found || len(answer) != 4 || answer[0] != '\n' {
		t.Errorf("%q", out)
	}
	w.stdin = strings.NewReader("down 99999999\n")
	if a := w.run(t.Context(), "sync", "ssh-command", "--from", "sb1"); a.code != fault.Failed || a.out != echoMark {
		t.Errorf("more than it takes: code %d: %q%s", a.code, a.out, a.err)
	}
	w.stdin = strings.NewReader("")
	if a := w.run(t.Context(), "sync", "ssh-command", "--from", "nobody"); a.code != fault.NotPermitted || a.out != "" {
		t.Errorf("a key of nobody: code %d: %s%s", a.code, a.out, a.err)
	}
}

// Of a server that does not know how to be measured, or that is not reached, the way is unknown;
// where there is nobody to measure the way to, that is said.
func TestBandwidthThatIsNotMeasured(t *testing.T) {
	t.Parallel()
	w := checking(t)
	found := func() (all []string) {
		var r check.Report
		a := w.run(t.Context(), "check", "--bandwidth", "-o", "json")
		if err := json.Unmarshal([]byte(a.out), &r); err != nil {
			t.Fatalf("%v: %s%s", err, a.out, a.err)
		}
		for _, f := range r.Findings {
			if f.Name == "bandwidth" {
				all = append(all, string(f.Verdict)+" "+f.Server+" "+f.Measured)
			}
		}
		return all
	}
	if got := found(); len(got) != 1 || !strings.HasPrefix(got[0], "unknown srv1 it was not asked: reach server sb1") {
		t.Errorf("%q", got)
	}
}

// A login may print what it likes before it, and no other program is taken for mxcluster.
func TestAwaitMark(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		echoMark: true, "Welcome\r\nto sb1: " + echoMark + "more": true, "mxcluster-check-" + echoMark: true,
		"": false, "unknown flag\n": false, strings.Repeat("x", maxNoise) + echoMark: false,
	} {
		if err := awaitMark(strings.NewReader(text), echoMark); (err == nil) != want {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}
