package ui

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"größe, 大 ☎ 👩\u200d🔧 می\u200cخواهم": "größe, 大 ☎ 👩\u200d🔧 می\u200cخواهم",
		"two\nlines\r\nand\ttabs":           "two lines  and tabs",
		"next\u0085line\u2028and\u2029end":  "next line and end",
		"\x1b]0;title\a\x1b[31mred":         `\x1b]0;title\x07\x1b[31mred`,
		"\u009b31m of C1, \x7f":             `\u009b31m of C1, \x7f`,
		"latin \xe9, cut \xe5\xa4":          `latin \xe9, cut \xe5\xa4`,
		"\u202eesrever\u202c \u2066 \ufeff": `\u202eesrever\u202c \u2066 \ufeff`,
		"private \ue000 \U000e0041":         `private \ue000 \U000e0041`,
		"as it is \ufffd":                   "as it is \ufffd",
		"nul \x00":                          `nul \x00`,
	} {
		if got := Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
		if got := Plain(Plain(text)); got != Plain(text) {
			t.Errorf("Plain(Plain(%q)) = %q", text, got)
		}
	}
	if got := OneLine("  two\n\tlines\x1b "); got != `two lines\x1b` {
		t.Errorf("OneLine: %q", got)
	}
}

// ugly is text of every kind of harm.
const ugly = "up\x1b]0;pwn\a\x1b[31m\nsecond\r\ttab \u0085 \u009b \u202e \u2028 \x7f \ue000 \U000e0041 \"x\" 'y' # : - \\u202e"

// harmful reports what of a program's output a terminal could take for an order.
func harmful(out string) bool {
	return strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && unsafe(r) }) || !utf8.ValidString(out)
}

func showAs(t *testing.T, f Format, text string) string {
	t.Helper()
	var data bytes.Buffer
	o := Output{Data: &data, Notes: &data, Format: f, Color: true, Terminal: f != CSV}
	if err := o.Show(View{
		Object:  map[string]string{"text": text},
		Columns: []Column{{Head: "A"}, {Head: "TEXT"}, {Head: "MORE", Wide: true}}, Rows: [][]string{{"1", text, text}, {text, "2", ""}}, Names: []string{text, "b"},
	}); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return data.String()
}

// Whatever a text holds, a table has a line for each row, programs get the text as it
// is, and a terminal gets no orders.
func TestTextStaysInItsPlace(t *testing.T) { textStays(t, ugly) }

func textStays(t *testing.T, text string) {
	for f, lines := range map[Format]int{Table: 3, Wide: 3, Name: 2} {
		if out := showAs(t, f, text); strings.Count(out, "\n") != lines || harmful(out) {
			t.Errorf("%s: %q", f, out)
		}
	}
	want := strings.ToValidUTF8(text, "\ufffd")
	var got map[string]string
	out := showAs(t, JSON, text)
	if err := json.Unmarshal([]byte(out), &got); err != nil || utf8.ValidString(text) && got["text"] != want || harmful(out) {
		t.Errorf("JSON: %v: %q became %q: %q", err, text, got["text"], out)
	}
	out = showAs(t, YAML, text)
	said := got["text"]
	if err := yaml.Unmarshal([]byte(out), &got); err != nil || got["text"] != said || harmful(out) {
		t.Errorf("YAML: %v: %q became %q: %q", err, text, got["text"], out)
	}
	rows, err := csv.NewReader(strings.NewReader(showAs(t, CSV, text))).ReadAll()
	// CSV itself has one kind of line ends.
	if diff := cmp.Diff(strings.ReplaceAll(text, "\r\n", "\n"), rows[1][1]); err != nil || diff != "" {
		t.Errorf("CSV: %v %s", err, diff)
	}
}

func FuzzText(f *testing.F) {
	f.Add(ugly)
	f.Add("latin \xe9")
	f.Fuzz(textStays)
}

// Notes, warnings and questions carry what others wrote.
func TestNothingWrittenIsHarmful(t *testing.T) {
	var all bytes.Buffer
	o := Output{Data: &all, Notes: &all, Verbose: true}
	o.Note("%s", ugly)
	o.Detail("%s", ugly)
	o.Warn("%s", ugly)
	p := Prompter{In: strings.NewReader("\n"), Out: &all, Terminal: true}
	if _, err := p.Ask("x", ugly, ugly); err != nil {
		t.Fatal(err)
	}
	all.WriteByte('\n')
	if err := o.Lines(ugly, "b"); err != nil {
		t.Fatal(err)
	}
	if out := all.String(); harmful(out) || strings.Count(out, "\n") != 6 {
		t.Errorf("%q", out)
	}
}
