package gendocs

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mxcluster/commands"
)

// The page of answers has the keys that 'config schema' has, and no others.
func TestAnswersAreTheSchemas(t *testing.T) {
	files := map[string][]byte{}
	root := commands.New(commands.Env{})
	if err := addAnswers(os.DirFS("../.."), root, files); err != nil {
		t.Fatal(err)
	}
	_, sections, _ := strings.Cut(string(files[answersPage]), "\n## ")
	written := strings.Split(sections, "\n## ")
	answers := commands.Answers(root)
	if len(written) != len(answers) {
		t.Fatalf("%d sections, want %d", len(written), len(answers))
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for i, a := range answers {
		name := "error"
		if len(a.Commands) > 0 {
			name = strings.Replace(a.Commands[0], "config show --levels", "levels", 1)
		}
		var out, said bytes.Buffer
		if code := commands.Run(context.Background(), commands.Env{Stdout: &out, Stderr: &said, Terminal: func(any) bool { return false }}, append([]string{"config", "schema"}, strings.Fields(name)...)); code != 0 {
			t.Fatalf("%s: %s", name, said.String())
		}
		var s schema
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		s.keys("", want)
		got := map[string]bool{}
		for _, found := range row.FindAllStringSubmatch(written[i], -1) {
			got[found[1]] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\n%q\nwant\n%q", name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// schema is what is needed of a JSON Schema.
type schema struct {
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Additional json.RawMessage    `json:"additionalProperties"`
}

// UnmarshalJSON reads a schema; true is the one that allows anything.
func (s *schema) UnmarshalJSON(text []byte) error {
	if string(text) == "true" {
		return nil
	}
	type plain schema
	return json.Unmarshal(text, (*plain)(s))
}

// keys adds the paths of all keys, as the page writes them.
func (s *schema) keys(prefix string, all map[string]bool) {
	for name, p := range s.Properties {
		all[prefix+name] = true
		at := prefix + name
		for p.Items != nil || p.of() != nil {
			if p.Items != nil {
				p, at = p.Items, at+"[]"
				continue
			}
			p, at = p.of(), at+".{}"
		}
		p.keys(at+".", all)
	}
}

// of is the schema of the values of an object whose keys are data; nil: it is none.
func (s *schema) of() *schema {
	var of schema
	if len(s.Properties) > 0 || len(s.Additional) == 0 || string(s.Additional) == `{"not":{}}` || json.Unmarshal(s.Additional, &of) != nil {
		return nil
	}
	return &of
}
