package ui

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"go.yaml.in/yaml/v3"
)

// Column is one column of a View.
type Column struct {
	Head  string // upper case
	Right bool   // numbers stand on the right
	Wide  bool   // shown by wide and csv only
}

// View is list-like data in every output format.
type View struct {
	Object  any // what json and yaml show
	Columns []Column
	Rows    [][]string                  // a cell for each column
	Names   []string                    // what name shows
	Style   func(row, column int) Style // of a cell of a table; nil: none is painted
	Empty   string                      // said on standard error when a table has no rows
	Lead    string                      // a line before a table with heads; "": none
}

// Leave takes a column out.
func (v *View) Leave(head string) {
	i := slices.IndexFunc(v.Columns, func(c Column) bool { return c.Head == head })
	if i < 0 {
		return
	}
	v.Columns = slices.Delete(v.Columns, i, i+1)
	for r := range v.Rows {
		v.Rows[r] = slices.Delete(v.Rows[r], i, i+1)
	}
}

// Show writes the view to standard output in the format asked for.
func (o *Output) Show(v View) error {
	var buf bytes.Buffer
	var err error
	switch o.Format {
	case JSON:
		err = writeJSON(&buf, v.Object)
	case YAML:
		err = writeYAML(&buf, v.Object)
	case CSV:
		err = o.writeCSV(&buf, v)
	case Name:
		for _, n := range v.Names {
			fmt.Fprintln(&buf, Plain(n))
		}
	default:
		err = o.writeTable(&buf, v)
	}
	if err == nil {
		_, err = o.Data.Write(buf.Bytes())
	}
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// writeJSON writes one indented document. Nothing is escaped for HTML.
func writeJSON(w io.Writer, v any) error { return encodeJSON(w, v, "  ", true) }

// encodeJSON writes a value and the end of a line, as JSON or as the JSON that is
// YAML, too.
func encodeJSON(w io.Writer, v any, indent string, json bool) error {
	var buf bytes.Buffer
	enc := jsonEncoder(&buf)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escaped(buf.Bytes(), json))
	return err
}

func jsonEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// WriteLines writes values as JSON, one a line.
func WriteLines[T any](w io.Writer, values []T) error {
	var buf bytes.Buffer
	for _, v := range values {
		if err := encodeJSON(&buf, v, "", true); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
	}
	if _, err := w.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// writeYAML writes the same keys in the same order as JSON does. JSON is YAML
// of another style, so the JSON is read as YAML and written in block style: one
// set of field names serves both.
func writeYAML(w io.Writer, v any) error {
	var buf bytes.Buffer
	if err := encodeJSON(&buf, v, "", false); err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(buf.Bytes(), &node); err != nil {
		return err
	}
	plain(&node)
	buf.Reset()
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&node), enc.Close()); err != nil {
		return err
	}
	_, err := w.Write(escaped(buf.Bytes(), false))
	return err
}

// plain takes the JSON style off a node and all below it. Empty lists and maps
// keep it: there is no other way to write them. So does text with characters that
// are written as escapes.
func plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && strings.ContainsFunc(n.Value, unsafe):
		n.Style = yaml.DoubleQuotedStyle
	case len(n.Content) > 0 || n.Kind == yaml.ScalarNode:
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// writeCSV writes every column, wide ones too, with CSV's own quoting. A program gets
// every text as it is; a terminal gets it plain.
func (o *Output) writeCSV(w io.Writer, v View) error {
	out := csv.NewWriter(w)
	if !o.NoHeaders {
		heads := make([]string, len(v.Columns))
		for i, c := range v.Columns {
			heads[i] = c.Head
		}
		if err := out.Write(heads); err != nil {
			return err
		}
	}
	rows := v.Rows
	if o.Terminal {
		rows = make([][]string, len(v.Rows))
		for i, r := range v.Rows {
			for _, text := range r {
				rows[i] = append(rows[i], Plain(text))
			}
		}
	}
	return out.WriteAll(rows)
}

// writeTable writes the columns that the format asks for, without borders.
func (o *Output) writeTable(w io.Writer, v View) error {
	if len(v.Rows) == 0 {
		if v.Empty != "" {
			o.Note("%s", v.Empty)
		}
		return nil
	}
	var columns []Column
	var index []int
	for i, c := range v.Columns {
		if !c.Wide || o.Format == Wide {
			columns, index = append(columns, c), append(index, i)
		}
	}
	rows := make([][]string, len(v.Rows))
	for i, r := range v.Rows {
		for _, k := range index {
			text := cell(Plain(r[k]))
			if v.Style != nil {
				text = o.paint(v.Style(i, k), text)
			}
			rows[i] = append(rows[i], text)
		}
	}
	if v.Lead != "" && !o.NoHeaders {
		if _, err := fmt.Fprintln(w, Plain(v.Lead)); err != nil {
			return err
		}
	}
	var buf bytes.Buffer
	if err := o.render(&buf, columns, rows); err != nil {
		return err
	}
	// tablewriter fills the last column up; nobody wants trailing blanks.
	for line := range strings.Lines(buf.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// cell shows an empty cell as "-", so that every line has the same number of
// fields for awk and for the eye.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// render lays the table out with tablewriter: no borders, no lines, two blanks
// between columns, no wrapping and no rewriting of heads.
func (o *Output) render(w io.Writer, columns []Column, rows [][]string) error {
	align := make([]tw.Align, len(columns))
	heads := make([]string, len(columns))
	for i, c := range columns {
		align[i], heads[i] = tw.AlignLeft, c.Head
		if c.Right {
			align[i] = tw.AlignRight
		}
	}
	cells := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off},
		Alignment:  tw.CellAlignment{PerColumn: align},
		Padding:    tw.CellPadding{Global: tw.Padding{Right: "  ", Overwrite: true}},
	}
	t := tablewriter.NewTable(w,
		tablewriter.WithConfig(tablewriter.Config{Header: cells, Row: cells}),
		tablewriter.WithEastAsian(tw.Off), // widths must not depend on the locale
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	if !o.NoHeaders {
		t.Header(heads)
	}
	if err := t.Bulk(rows); err != nil {
		return err
	}
	return t.Render()
}
