package commands

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// difference is the answer of `config diff -o json`.
type difference struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"` // Difference
	From       uint64   `json:"from"`
	To         uint64   `json:"to"`
	Changes    []string `json:"changes"`
}

// newConfigDiffCommand returns `config diff`.
func newConfigDiffCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff A [B]",
		Short: "Compare two revisions of the cluster document",
		Long: `Config diff says what leads from revision A of the cluster document to revision
B, or to the stored one. It ends with 0 whether they differ or not.`,
		Example:     "  mxcluster config diff 41\n  mxcluster config diff 40 41 -o json",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("A", "[B]"),
		RunE:        func(_ *cobra.Command, args []string) error { return runConfigDiff(a, args) },
	}
}

func runConfigDiff(a *app, args []string) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	store := a.store(dirs)
	var docs []*clusterconf.Document
	for _, text := range args {
		revision, err := parseRevision(text)
		if err != nil {
			return err
		}
		doc, err := store.ReadRevision(revision)
		if err != nil {
			return doing(err, "comparing documents")
		}
		docs = append(docs, doc)
	}
	if len(docs) == 1 {
		doc, err := store.Read()
		if err != nil {
			return doing(err, "reading the cluster document")
		}
		docs = append(docs, doc)
	}
	return a.showDifference(docs[0], docs[1])
}

// showDifference shows the lines below heads as diff(1) has them.
func (a *app) showDifference(from, to *clusterconf.Document) error {
	d := difference{
		APIVersion: clusterconf.APIVersion, Kind: "Difference", From: from.Revision, To: to.Revision,
		Changes: append([]string{}, clusterconf.Diff(from, to)...),
	}
	view := ui.View{Object: d, Columns: []ui.Column{{Head: "CHANGE"}}, Names: d.Changes}
	for _, c := range d.Changes {
		view.Rows = append(view.Rows, []string{c})
	}
	switch {
	case a.out.Format != ui.Table && a.out.Format != ui.Wide:
		return a.out.Show(view)
	case len(d.Changes) == 0:
		a.out.Note("revisions %d and %d are the same", d.From, d.To)
		return nil
	}
	lines := append([]string{"--- " + revisionWords(from), "+++ " + revisionWords(to)}, d.Changes...)
	if a.out.NoHeaders {
		lines = lines[2:]
	}
	return a.out.Lines(lines...)
}

// revisionWords says which revision it is, and how it came about.
func revisionWords(d *clusterconf.Document) string {
	words := fmt.Sprintf("revision %d, %s", d.Revision, d.Changed.At.UTC().Format(time.RFC3339))
	if d.Changed.By != "" {
		words += " by " + d.Changed.By
	}
	if d.Changed.Command != "" {
		words += ": " + d.Changed.Command
	}
	return words
}
