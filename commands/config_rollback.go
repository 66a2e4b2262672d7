package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newConfigRollbackCommand returns `config rollback`.
func newConfigRollbackCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "rollback REV",
		Short: "Make the content of an earlier revision the present one",
		Long: `Config rollback stores the content of revision REV as a new revision. Where that
moves LIMs into clusters or out of them, addresses are exchanged as 'mxcluster
create' and 'mxcluster delete' do it. It is also the way out of a stored document
that is broken.

It asks before, for it undoes what others did since; a script answers with --yes.`,
		Example:     "  mxcluster config rollback 41 --dry-run\n  mxcluster config rollback 41 --reason 'wrong standby'",
		Annotations: exits(editCodes()...),
		Args:        arguments("REV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runConfigRollback(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runConfigRollback(ctx context.Context, a *app, arg string, o change) error {
	revision, err := parseRevision(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("revision %d", revision)
	old, err := s.store.ReadRevision(revision)
	if err != nil {
		return doing(err, "going back to %s", what)
	}
	e := edit{
		change: o, command: fmt.Sprintf("config rollback %d", revision), doing: "going back to " + what,
		done: "the content of " + what + " is stored again", would: "the content of " + what + " would be stored again",
		already: "the stored document has the content of " + what,
		apply:   func(d *clusterconf.Document) error { return d.Restore(old) },
		loses:   true,
	}
	var broken *clusterconf.ValidationError
	if _, err := s.store.Read(); errors.As(err, &broken) {
		return s.replaceBroken(ctx, e, revision, broken)
	}
	return s.perform(ctx, e)
}

// replaceBroken puts a revision in the place of a stored document that cannot be
// read. Nothing can be said of what the two differ in, so no addresses are exchanged:
// the agents go by the document that they had last.
func (s *server) replaceBroken(ctx context.Context, e edit, revision uint64, broken error) error {
	record := s.record(e)
	plan, err := s.store.PreviewRollback(revision, record)
	if err != nil {
		return doing(err, "%s", e.doing)
	}
	if err := s.mustBeRead(ctx, plan); err != nil {
		return doing(err, "%s", e.doing)
	}
	out := outcome{Result: plan, agent: s.agent.Running(ctx), says: []string{"it replaces a document that is broken: " + broken.Error()}}
	if !e.dryRun {
		if err := s.confirm(e, out); err != nil {
			return doing(err, "%s", e.doing)
		}
		if out.Result, err = s.store.Rollback(ctx, revision, record); err != nil {
			return doing(err, "%s", e.doing)
		}
		if out.agent {
			s.tellAgent(ctx)
		}
	}
	return s.tell(out, e)
}
