package ui

import (
	"fmt"
	"io"
	"strings"
)

// Output is where a command writes: data to Data, everything else to Notes.
type Output struct {
	Data, Notes io.Writer
	Format      Format
	NoHeaders   bool // leave out the heads of tables and CSV
	Quiet       bool // leave out notes
	Verbose     bool // add details
	Color       bool // paint states in tables
	Terminal    bool // standard output is one
}

// Machine reports whether a program reads the data: then it is a document of
// its own, and tables must not be mixed in.
func (o *Output) Machine() bool { return o.Format == JSON || o.Format == YAML }

// Note tells the user something in passing; Quiet suppresses it.
func (o *Output) Note(format string, args ...any) {
	if !o.Quiet {
		o.line("mxcluster: ", format, args...)
	}
}

// Detail tells what only --verbose asks for.
func (o *Output) Detail(format string, args ...any) {
	if o.Verbose {
		o.line("mxcluster: ", format, args...)
	}
}

// Warn tells what must not be missed; nothing suppresses it.
func (o *Output) Warn(format string, args ...any) {
	o.line("mxcluster: warning: ", format, args...)
}

// line writes one line. A note that cannot be written is no reason to fail.
func (o *Output) line(prefix, format string, args ...any) {
	_, _ = fmt.Fprintln(o.Notes, prefix+OneLine(fmt.Sprintf(format, args...)))
}

// Style is how a cell is painted on a terminal.
type Style string

// The styles, as ANSI "select graphic rendition" parameters.
const (
	Good Style = "32" // green
	Fair Style = "33" // yellow
	Bad  Style = "31" // red
)

// paint colours text when the output is coloured.
func (o *Output) paint(style Style, text string) string {
	if !o.Color || style == "" || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Lines writes lines of text to standard output, each on one line.
func (o *Output) Lines(lines ...string) error {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(Plain(l) + "\n")
	}
	if _, err := io.WriteString(o.Data, b.String()); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
