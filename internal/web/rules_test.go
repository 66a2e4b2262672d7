package web

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const packaging = "../../packaging"

// promtool is Prometheus' own tool.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs promtool and fails the test with what it says.
func run(t *testing.T, input string, args ...string) {
	t.Helper()
	c := exec.Command(promtool(t), args...)
	c.Stdin = strings.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestMetricsAreClean holds a whole answer to what Prometheus asks for.
func TestMetricsAreClean(t *testing.T) {
	_, text := get(handlerOf(troubled()), "/metrics")
	run(t, text, "check", "metrics")
}

// queries are those of the alerting rules and of the dashboard, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	raw, err := os.ReadFile(filepath.Join(packaging, "prometheus", "mxcluster.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			out["alert "+r.Alert] = r.Expr
		}
	}
	if raw, err = os.ReadFile(filepath.Join(packaging, "grafana", "mxcluster.json")); err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for i, x := range p.Targets {
			out[fmt.Sprintf("panel %s %d", p.Title, i)] = x.Expr
		}
	}
	return out
}

// Every query of the alerting rules and of the dashboard finds something in the answers of
// a system in trouble.
func TestQueriesFindWhatIsThere(t *testing.T) {
	type series struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type query struct {
		Expr    string   `json:"expr"`
		At      string   `json:"eval_time"`
		Samples []sample `json:"exp_samples"`
	}
	_, text := get(handlerOf(troubled()), "/metrics")
	input := []series{{`up{job="mxcluster",instance="srv1"}`, "0+0x90"}, {`mxcluster_document_revision{job="mxcluster",instance="srv1"}`, "6+0x90"}}
	for line := range strings.Lines(text) {
		m := regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? (\S+)\n$`).FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[1], "go_") {
			continue
		}
		labels := `job="mxcluster",instance="sb1"`
		if m[2] != "" {
			labels += "," + m[2]
		}
		step := "0"
		if regexp.MustCompile(`_(total|bucket|sum|count)$`).MatchString(m[1]) {
			step = "1"
		}
		input = append(input, series{m[1] + "{" + labels + "}", m[3] + "+" + step + "x90"})
	}
	var asked []query
	all := queries(t)
	if len(all) < 20 {
		t.Errorf("only %d queries were found", len(all))
	}
	for _, expr := range all {
		asked = append(asked, query{"count(" + expr + ") > bool 0", "80m", []sample{{"{}", 1}}})
	}
	raw, err := json.Marshal(map[string]any{"evaluation_interval": "1m", "tests": []any{map[string]any{"interval": "1m", "input_series": input, "promql_expr_test": asked}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", "test", "rules", file)
	run(t, "", "check", "rules", filepath.Join(packaging, "prometheus", "mxcluster.rules.yml"))
}
