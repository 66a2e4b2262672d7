package services

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// agent puts a resource agent of the test's own into a folder like OCF's.
func agent(t *testing.T, bodies map[string]string) (root, dir string) {
	t.Helper()
	root = t.TempDir()
	dir = filepath.Join(root, "resource.d", "test")
	must(t, os.MkdirAll(dir, 0o755))
	if _, ok := bodies["monitor"]; !ok {
		bodies["monitor"] = "exit 7"
	}
	must(t, os.Rename(writeProgram(t, dir, bodies), filepath.Join(dir, "Agent")))
	return root, dir
}

func TestOCFExitCodes(t *testing.T) {
	for _, tt := range []struct {
		body string
		want State
		text string
	}{
		{"exit 0", Running, ""},
		{"exit 8", Running, ""},
		{"exit 7", Stopped, ""},
		{"echo no database >&2; exit 1", Failed, "exit status 1 (generic error): no database"},
		{"exit 5", Failed, "what it needs is not installed"},
		{"exit 6", Failed, "does not fit this server"},
		{"sleep 1000", Failed, "did not end within"},
	} {
		root, _ := agent(t, map[string]string{"monitor": tt.body})
		opt := within(time.Second)
		opt.OCFRoot = root
		s, err := Parse("ocf:test:Agent", opt)
		must(t, err)
		state, err := s.Check(t.Context(), env)
		if state != tt.want || (err != nil) != (tt.want == Failed) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: %s, %v", tt.body, state, err)
		}
	}
}

func TestOCFEnvironment(t *testing.T) {
	root, dir := agent(t, map[string]string{"start": "env | grep -E '^(OCF|MXCLUSTER)_' | sort >env"})
	opt := within(20 * time.Second)
	opt.OCFRoot = root
	s, err := Parse("ocf:test:Agent,ip={alias},number={lim},empty=,both=x=y", opt)
	must(t, err)
	must(t, s.Start(t.Context(), env))
	raw, err := os.ReadFile(dir + "/env")
	must(t, err)
	for _, want := range []string{
		"OCF_ROOT=" + root, "OCF_RESOURCE_PROVIDER=test", "OCF_RESOURCE_TYPE=Agent", "OCF_RA_VERSION_MAJOR=1",
		"OCF_RESOURCE_INSTANCE=mxcluster-srv3-lim3-Agent-", "OCF_RESKEY_ip=10.0.0.13\n", "OCF_RESKEY_number=3\n",
		"OCF_RESKEY_empty=\n", "OCF_RESKEY_both=x=y\n", "OCF_RESKEY_CRM_meta_timeout=20000\n", "MXCLUSTER_ROLE=active\n",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%q is not in\n%s", want, raw)
		}
	}
}

// An agent without reload is stopped and started.
func TestOCFReload(t *testing.T) {
	for body, want := range map[string]string{"exit 0": "reload", "exit 3": "reload stop start"} {
		root, dir := agent(t, map[string]string{"reload": body})
		opt := within(20 * time.Second)
		opt.OCFRoot = root
		s, err := Parse("ocf:test:Agent", opt)
		must(t, err)
		must(t, s.Reload(t.Context(), env))
		if got := calls(t, dir); got != want {
			t.Errorf("%q: calls %s, want %s", body, got, want)
		}
	}
}

func TestOCFAgentMissing(t *testing.T) {
	s, err := Parse("ocf:nobody:Nothing", Options{})
	must(t, err)
	state, checkErr := s.Check(t.Context(), env)
	for _, err := range []error{s.Start(t.Context(), env), s.Stop(t.Context(), env), checkErr} {
		if fault.CodeOf(err) != fault.NotFound || !neverRan(err) || !strings.Contains(err.Error(), "there is no resource agent /usr/lib/ocf/resource.d/nobody/Nothing") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, code %d", err, fault.CodeOf(err))
		}
	}
	if state != Failed {
		t.Errorf("state %s", state)
	}
}

// Debian's own Dummy agent, whole life. Two resources of one agent with other
// parameters, or of other servers on one machine, are strangers.
func TestOCFDummy(t *testing.T) {
	if _, err := os.Stat(DefaultOCFRoot + "/resource.d/heartbeat/Dummy"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("resource-agents is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("resource agents keep their state where root alone may")
	}
	here := Env{LIM: 3, Server: "test-" + filepath.Base(t.TempDir()), Alias: netip.MustParseAddr("10.0.0.13"), Role: "active"}
	a, err := Parse("ocf:heartbeat:Dummy,fake=a", Options{})
	must(t, err)
	b, err := Parse("ocf:heartbeat:Dummy,fake=b", Options{})
	must(t, err)
	is := func(s Service, want State) {
		t.Helper()
		if state, err := s.Check(t.Context(), here); state != want || err != nil {
			t.Errorf("%s is %s, %v; want %s", s, state, err, want)
		}
	}
	is(a, Stopped)
	must(t, a.Start(t.Context(), here))
	must(t, a.Start(t.Context(), here)) // runs already
	is(a, Running)
	is(b, Stopped)
	must(t, a.Reload(t.Context(), here))
	is(a, Running)
	must(t, a.Stop(t.Context(), here))
	must(t, a.Stop(t.Context(), here)) // is stopped already
	is(a, Stopped)
}

// What a resource agent says of itself is asked before it is needed; what it does not say, and
// a call that nobody answered, keeps nothing from starting.
func TestOCFValidate(t *testing.T) {
	for body, want := range map[string]string{
		"exit 0":                            "",
		"exit 3":                            "",
		"sleep 1000":                        "",
		"echo no database here >&2; exit 5": "validate-all service ocf:test:Agent: exit status 5 (what it needs is not installed): no database here",
	} {
		root, dir := agent(t, map[string]string{"validate-all": body})
		opt := within(time.Second)
		opt.OCFRoot = root
		s, err := Parse("ocf:test:Agent", opt)
		must(t, err)
		err = Set{s}.Validate(t.Context(), env)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if said != want {
			t.Errorf("%q: %q", body, said)
		}
		must(t, os.Remove(filepath.Join(dir, "Agent")))
		if err := (Set{s}).Validate(t.Context(), env); err != nil {
			t.Errorf("it is not there, which Able tells: %v", err)
		}
		if err := (Set{s}).Able(t.Context(), env); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("removed: %v", err)
		}
	}
}
