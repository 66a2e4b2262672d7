package ui

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample has what tables trip over: an empty cell, a wide column, blanks,
// commas, wide runes, and text that looks like another type.
func sample() View {
	type item struct {
		Name string   `json:"name"`
		N    int      `json:"n"`
		Tags []string `json:"tags"`
		Opt  *string  `json:"opt"`
	}
	return View{
		Object: struct {
			Kind  string `json:"kind"`
			At    string `json:"at"`
			Items []item `json:"items"`
		}{"Sample", "2026-03-01T02:00:00Z", []item{
			{Name: "a<b", N: 1, Tags: []string{}},
			{Name: "no", N: 22, Tags: []string{"10", "x: y", "größe"}},
		}},
		Columns: []Column{{Head: "NAME"}, {Head: "N", Right: true}, {Head: "MORE_ID", Wide: true}, {Head: "TEXT"}},
		Rows: [][]string{
			{"a<b", "1", "größe", ""},
			{"no", "22", "", "two words, and a comma"},
		},
		Names: []string{"a<b", "no"},
		Empty: "nothing there",
	}
}

func TestShow(t *testing.T) {
	for name, out := range map[string]Output{
		"table":    {Format: Table},
		"wide":     {Format: Wide},
		"nohead":   {Format: Table, NoHeaders: true},
		"json":     {Format: JSON},
		"yaml":     {Format: YAML},
		"csv":      {Format: CSV},
		"csvplain": {Format: CSV, NoHeaders: true},
		"name":     {Format: Name},
	} {
		t.Run(name, func(t *testing.T) {
			var data, notes bytes.Buffer
			out.Data, out.Notes = &data, &notes
			if err := out.Show(sample()); err != nil {
				t.Fatal(err)
			}
			golden(t, "sample."+name, data.String())
			if notes.Len() > 0 {
				t.Errorf("notes: %q", notes.String())
			}
		})
	}
}

// golden compares with a file of testdata; UPDATE_GOLDEN=1 writes it instead.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestShowEmpty(t *testing.T) {
	for _, tc := range []struct {
		name        string
		out         Output
		data, notes string
	}{
		{"table", Output{Format: Table}, "", "mxcluster: nothing there\n"},
		{"quiet", Output{Format: Table, Quiet: true}, "", ""},
		{"csv", Output{Format: CSV}, "NAME\n", ""},
		{"json", Output{Format: JSON}, "[]\n", ""},
		{"yaml", Output{Format: YAML}, "[]\n", ""},
		{"name", Output{Format: Name}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var data, notes bytes.Buffer
			tc.out.Data, tc.out.Notes = &data, &notes
			err := tc.out.Show(View{Object: []int{}, Columns: []Column{{Head: "NAME"}}, Empty: "nothing there"})
			if err != nil || data.String() != tc.data || notes.String() != tc.notes {
				t.Errorf("data %q, notes %q, err %v; want %q, %q", data.String(), notes.String(), err, tc.data, tc.notes)
			}
		})
	}
}

// TestColorKeepsColumns: painted cells must not shift what stands beside them.
func TestColorKeepsColumns(t *testing.T) {
	show := func(color bool) string {
		var data bytes.Buffer
		o := Output{Data: &data, Format: Table, Color: color}
		v := View{Columns: []Column{{Head: "STATE"}, {Head: "X"}}, Rows: [][]string{{"running", "a"}, {"failed", "b"}, {"", "c"}},
			Style: func(row, column int) Style {
				if column > 0 {
					return ""
				}
				return []Style{Good, Bad, Fair}[row]
			}}
		if err := o.Show(v); err != nil {
			t.Fatal(err)
		}
		return data.String()
	}
	painted := show(true)
	if !strings.Contains(painted, "\x1b[32mrunning\x1b[0m") {
		t.Errorf("no green in %q", painted)
	}
	bare := strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(painted)
	if diff := cmp.Diff(show(false), bare); diff != "" {
		t.Errorf("columns moved (-plain +painted):\n%s", diff)
	}
}

func TestPaintOnlyTables(t *testing.T) {
	for _, f := range []Format{JSON, YAML, CSV, Name} {
		var data bytes.Buffer
		o := Output{Data: &data, Format: f, Color: true}
		v := sample()
		v.Style = func(int, int) Style { return Good }
		if err := o.Show(v); err != nil || strings.Contains(data.String(), "\x1b") {
			t.Errorf("%s: painted %q, %v", f, data.String(), err)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestShowReportsWriteErrors(t *testing.T) {
	for _, f := range Formats() {
		o := Output{Data: brokenWriter{}, Notes: &bytes.Buffer{}, Format: Format(f)}
		if err := o.Show(sample()); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s: error %v", f, err)
		}
	}
}

func TestNotes(t *testing.T) {
	for _, tc := range []struct {
		name string
		out  Output
		want string
	}{
		{"plain", Output{}, "mxcluster: note\nmxcluster: warning: warn two lines\n"},
		{"quiet", Output{Quiet: true}, "mxcluster: warning: warn two lines\n"},
		{"verbose", Output{Verbose: true}, "mxcluster: note\nmxcluster: detail\nmxcluster: warning: warn two lines\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var notes bytes.Buffer
			tc.out.Notes = &notes
			tc.out.Note("note")
			tc.out.Detail("detail")
			tc.out.Warn("warn\n  %s", "two lines")
			if notes.String() != tc.want {
				t.Errorf("got %q, want %q", notes.String(), tc.want)
			}
		})
	}
}
