package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"mxcluster/internal/fault"
)

// checkSchema holds an answer with -o json against its schema, in every test of a command.
func (w *world) checkSchema(t *testing.T, args []string, out string) {
	t.Helper()
	var answer map[string]any
	if !slices.Contains(args, "json") || json.Unmarshal([]byte(out), &answer) != nil {
		return
	}
	kind, _ := answer["kind"].(string)
	i := slices.IndexFunc(answerKinds(), func(k answerKind) bool { return k.kind == kind })
	if i < 0 {
		t.Fatalf("mxcluster %s: an answer of kind %q has no row in answerKinds", strings.Join(args, " "), kind)
	}
	s, err := answerKinds()[i].schema("test", false) // stricter than what is printed: no other key
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, s, answer); err != nil {
		t.Errorf("mxcluster %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func validate(t *testing.T, s *jsonschema.Schema, value any) error {
	t.Helper()
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Validate(value)
}

// printed reads the schema that the command prints.
func printed(t *testing.T, w *world, args ...string) *jsonschema.Schema {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(w.must(t, append([]string{"config", "schema"}, args...)...).out), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// asJSON reads YAML as JSON has it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Each kind of answer, and each command with one, has one row.
func TestEachAnswerHasOneRow(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range answerKinds() {
		for _, name := range append([]string{"kind " + k.kind}, k.commands...) {
			if seen[name] {
				t.Errorf("%s has two rows", name)
			}
			seen[name] = true
		}
	}
}

// Every schema that is offered can be printed and used.
func TestEverySchema(t *testing.T) {
	w := newWorld(t.TempDir())
	names := schemaNames(newRoot(newApp(w.env(os.Stdout, os.Stderr))))
	if len(names) < 40 {
		t.Errorf("only %d are offered: %s", len(names), strings.Join(names, ", "))
	}
	for _, name := range names {
		s := printed(t, w, strings.Fields(name)...)
		if _, err := s.Resolve(nil); err != nil || s.Title == "" || s.Type != "object" {
			t.Errorf("the schema of %s: %v, %q, type %q", name, err, s.Title, s.Type)
		}
	}
	if a := w.run(t.Context(), "config", "schema", "statsu"); a.code != fault.NotFound || !strings.Contains(a.err, "status") {
		t.Errorf("a wrong name: %d, %q", a.code, a.err)
	}
}

func TestSchemaOfTheDocument(t *testing.T) {
	w := newWorld(t.TempDir())
	s := printed(t, w)
	for name, text := range map[string]string{"one cluster": clusterconftest.OneCluster, "two LIMs": clusterconftest.TwoLIMs} {
		if err := validate(t, s, asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := validate(t, s, asJSON(t, strings.Replace(clusterconftest.OneCluster, "        priority:", "        x-owner: {name: ann}\n        priority:", 1)+"x-site: north\n")); err != nil {
		t.Errorf("keys of others: %v", err)
	}
	for name, wrong := range map[string]string{
		"a key that is mistyped": strings.Replace(clusterconftest.OneCluster, "priority:", "priorty:", 1),
		"an unknown word":        strings.Replace(clusterconftest.OneCluster, "fallback: manual", "fallback: never", 1),
		"a text for a number":    strings.Replace(clusterconftest.OneCluster, "revision: 6", "revision: six", 1),
	} {
		if wrong == clusterconftest.OneCluster {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if err := validate(t, s, asJSON(t, wrong)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSchemaOfTheSettings(t *testing.T) {
	w := newWorld(t.TempDir())
	s := printed(t, w, "settings")
	for text, good := range map[string]bool{
		"server: srv1\nalias:\n  lease: 3s\narp:\n  budget: 15\nfallback:\n  from_load: true\n": true,
		"alarms:\n  snmp:\n    targets: [10.0.0.60, 10.0.0.61]\n":                               true,
		"alarms:\n  snmp:\n    targets: 10.0.0.60\n":                                            true,
		"servr: srv1\n":           false,
		"alias:\n  leese: 3s\n":   false,
		"server: [srv1]\n":        false,
		"alias: 3s\n":             false,
		"alarms:\n  smtp: mail\n": false,
		"server: {name: srv1}\n":  false,
	} {
		if err := validate(t, s, asJSON(t, text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An answer may get keys; a consumer with the printed schema goes on.
func TestSchemaOfAnAnswerIsOpen(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	s := printed(t, w, "list")
	var answer map[string]any
	if err := json.Unmarshal([]byte(w.must(t, "list", "-o", "json").out), &answer); err != nil {
		t.Fatal(err)
	}
	answer["new"] = 1
	answer["clusters"].([]any)[0].(map[string]any)["new"] = 1
	if err := validate(t, s, answer); err != nil {
		t.Error(err)
	}
	delete(answer, "revision")
	if err := validate(t, s, answer); err == nil {
		t.Error("an answer without a revision is accepted")
	}
}

// Every kind of answer comes out of a command as its schema says (see [world.checkSchema]).
func TestEveryAnswerIsAsItsSchemaSays(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["MXCLUSTER_SYNC_RSH"] = "false" // no other server is there
	w.must(t, "lock", "1", "--to", "regular")
	answered := map[string]string{
		"ClusterDocument": "config show", "ClusterList": "list", "ClusterStatus": "status", "Explanation": "explain 1", "Simulation": "simulate --down srv1",
		"EventList": "events", "ServerList": "server list", "LIMList": "lim list", "Difference": "config diff 6", "History": "config history",
		"Validation": "config validate", "AliasList": "alias show", "ProbeResult": "arp probe 192.0.2.99 --interface eth0",
		"ServiceList": "service status 1", "SyncReport": "sync --here", "VersionList": "xdata list", "VerifyReport": "xdata verify",
		"DocumentLevels": "config show --levels", "ManagerDiscovery": "manager discover", "ManagerCheck": "manager check", "ManagerStatus": "manager status",
		"ChangeResult": "unlock 1",
	}
	hold := func(kind, line string) {
		t.Helper()
		var answer struct{ Kind string }
		if a := w.run(t.Context(), append(strings.Fields(line), "-o", "json")...); json.Unmarshal([]byte(a.out), &answer) != nil || answer.Kind != kind {
			t.Errorf("mxcluster %s: code %d, %s%s, want an answer of kind %s", line, a.code, a.out, a.err, kind)
		}
	}
	for kind, line := range answered {
		hold(kind, line)
	}
	w.agent.running, w.agent.alarms = true, threeAlarms()
	hold("AlarmList", "alarms list")
	// Those of an agent, or of several servers, are held where their commands are tested.
	elsewhere := []string{"", "AlarmList", "SinkTest", "KeyList", "AgentStatus", "RehearsalReport", "CheckReport", "UpgradeCheck"}
	for _, k := range answerKinds() {
		if answered[k.kind] == "" && !slices.Contains(elsewhere, k.kind) {
			t.Errorf("no command answers with kind %s here", k.kind)
		}
	}
}
