package commands

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// validation is the answer of `config validate -o json`.
type validation struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"` // Validation
	File       string      `json:"file"`
	Valid      bool        `json:"valid"`
	Violations []violation `json:"violations"`
}

// violation is one thing that is wrong, and where.
type violation struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// newConfigValidateCommand returns `config validate`.
func newConfigValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the cluster document and the settings, or a file",
		Long: `Config validate checks the stored cluster document and this server's settings, or
FILE alone as a cluster document, against every rule. It lists all that is wrong
in the document as FILE:LINE:COLUMN: what. FILE - is standard input.`,
		Example:     "  mxcluster config validate\n  mxcluster config validate new.yaml -o json",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[FILE]"),
		RunE:        func(_ *cobra.Command, args []string) error { return runConfigValidate(a, optionalArgument(args)) },
	}
}

// runConfigValidate reads no settings for a file: they may be as broken.
func runConfigValidate(a *app, file string) error {
	doc, name, err := a.documentIn(file)
	var wrong *clusterconf.ValidationError
	if err != nil && !errors.As(err, &wrong) {
		return err
	}
	v := validation{APIVersion: clusterconf.APIVersion, Kind: "Validation", File: name, Valid: err == nil, Violations: []violation{}}
	if wrong != nil {
		for _, w := range wrong.Violations {
			v.Violations = append(v.Violations, violation{w.Line, w.Column, w.Path, w.Rule, w.Message, w.Hint})
		}
	}
	if err := a.showValidation(v); err != nil {
		return err
	}
	if wrong != nil {
		return fault.New(fault.Invalid, "", "validating %s: it is not valid: %s", name, count(len(v.Violations), "fault"))
	}
	a.out.Note("%s is valid, revision %d", name, doc.Revision)
	if file == "" {
		return a.validateSettings()
	}
	return nil
}

// validateSettings finds what every other command refuses in this server's settings.
func (a *app) validateSettings() error {
	_, err := a.server()
	return err
}

// documentIn reads a document from a file, from standard input for "-", or the
// stored one for "".
func (a *app) documentIn(file string) (doc *clusterconf.Document, name string, err error) {
	switch file {
	case "":
		dirs, err := a.dirs()
		if err != nil {
			return nil, "", err
		}
		store := a.store(dirs)
		doc, err = store.Read()
		return doc, store.Path, err
	case "-":
		data, err := io.ReadAll(io.LimitReader(a.env.Stdin, clusterconf.MaxSize+1))
		if err != nil {
			return nil, "", fmt.Errorf("reading standard input: %w", err)
		}
		doc, err = clusterconf.Parse("standard input", data)
		return doc, "standard input", err
	}
	data, err := readText(file)
	if err != nil {
		return nil, file, err
	}
	doc, err = clusterconf.Parse(file, data)
	return doc, file, err
}

// readText reads a file that should hold a document: one byte more than that may have,
// so that a larger one is noticed.
func readText(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, "give the name of a file, or - for standard input", "reading a cluster document")
	}
	if err != nil {
		return nil, fmt.Errorf("reading a cluster document: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, clusterconf.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading a cluster document: %w", err)
	}
	return data, nil
}

// showValidation shows faults as compilers do, so that editors find the place.
func (a *app) showValidation(v validation) error {
	if a.out.Format == ui.Table || a.out.Format == ui.Wide {
		for _, w := range v.Violations {
			if err := w.write(a.out.Data, v.File); err != nil {
				return fmt.Errorf("writing the answer: %w", err)
			}
		}
		return nil
	}
	view := ui.View{Object: v, Columns: []ui.Column{{Head: "LINE"}, {Head: "COLUMN"}, {Head: "PATH"}, {Head: "RULE"}, {Head: "MESSAGE"}, {Head: "HINT"}}}
	for _, w := range v.Violations {
		view.Rows = append(view.Rows, []string{strconv.Itoa(w.Line), strconv.Itoa(w.Column), w.Path, w.Rule, w.Message, w.Hint})
		view.Names = append(view.Names, w.Rule)
	}
	return a.out.Show(view)
}

// write says what is wrong, and on a second line what to do about it.
func (v violation) write(w io.Writer, file string) error {
	text := ui.Plain(fmt.Sprintf("%s:%d:%d: %s", file, v.Line, v.Column, v.Message)) + "\n"
	if v.Hint != "" {
		text += "  " + ui.Plain(v.Hint) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// count sets a number before a word.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
