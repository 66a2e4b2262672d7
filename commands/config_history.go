package commands

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// history is the answer of `config history -o json`.
type history struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"` // History
	Revisions  []historyEntry `json:"revisions"`
}

// historyEntry is one document. What is not known of a broken one is null or "".
type historyEntry struct {
	Revision uint64     `json:"revision"`
	Current  bool       `json:"current"`
	At       *time.Time `json:"at"`
	By       string     `json:"by"`
	Server   string     `json:"server"`
	Command  string     `json:"command"`
	Reason   string     `json:"reason"`
	Hash     string     `json:"hash"`
	File     string     `json:"file"`
	Problem  *string    `json:"problem"`
}

// newConfigHistoryCommand returns `config history`.
func newConfigHistoryCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "List the revisions of the cluster document",
		Long: `Config history lists the stored cluster document and the former ones kept on this
server, the newest first: when each was made, by whom, where, how and why. Of two
documents of one revision the second lost against the first.`,
		Example:     "  mxcluster config history\n  mxcluster config history -o json",
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runConfigHistory(a) },
	}
}

// runConfigHistory works with a broken document too: that is when it is needed.
func runConfigHistory(a *app) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	store := a.store(dirs)
	entries, err := store.History()
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		if _, err := store.Read(); err != nil { // it says how to get one
			return doing(err, "reading the cluster document")
		}
	}
	return a.out.Show(newHistory(entries).view())
}

func newHistory(entries []clusterconf.Entry) history {
	h := history{APIVersion: clusterconf.APIVersion, Kind: "History", Revisions: make([]historyEntry, 0, len(entries))}
	for _, e := range entries {
		entry := historyEntry{
			Revision: e.Revision, Current: e.Current, By: e.Changed.By, Server: e.Changed.On, Command: e.Changed.Command,
			Reason: e.Changed.Reason, Hash: e.Hash, File: e.File,
		}
		if !e.Changed.At.IsZero() {
			at := e.Changed.At.UTC()
			entry.At = &at
		}
		if e.Problem != nil {
			problem := e.Problem.Error()
			entry.Problem = &problem
		}
		h.Revisions = append(h.Revisions, entry)
	}
	return h
}

func (h history) view() ui.View {
	v := ui.View{
		Object: h,
		Columns: []ui.Column{{Head: "REVISION", Right: true}, {Head: "AT"}, {Head: "BY"}, {Head: "SERVER"}, {Head: "COMMAND"}, {Head: "REASON"},
			{Head: "PROBLEM"}, {Head: "HASH", Wide: true}, {Head: "FILE", Wide: true}},
	}
	for _, e := range h.Revisions {
		revision := strconv.FormatUint(e.Revision, 10)
		v.Rows = append(v.Rows, []string{revision, sinceWords(e.At), e.By, e.Server, e.Command, e.Reason, orEmpty(e.Problem), e.Hash, e.File})
		v.Names = append(v.Names, revision)
	}
	return v
}
