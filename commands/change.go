package commands

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// defaultWait is what --wait means without a value (contract, section 1).
const defaultWait = 60 * time.Second

// change are the flags of commands that change something.
type change struct {
	dryRun bool
	reason string
	wait   time.Duration
	force  bool
}

func (o *change) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would change, write nothing")
	f.StringVar(&o.reason, "reason", "", "`text` that says why, for the record of changes")
}

// addWait is for changes that the agents carry out.
func (o *change) addWait(f *pflag.FlagSet) {
	f.DurationVar(&o.wait, "wait", 0, "wait until it is done, at most this `time`; exit code 8 when that runs out")
	f.Lookup("wait").NoOptDefVal = defaultWait.String()
}

// addForce is for edits of the cluster document.
func (o *change) addForce(f *pflag.FlagSet) {
	f.BoolVar(&o.force, "force", false, "edit the document here although another server holds LIM 1")
}

// edit is one edit of the cluster document.
type edit struct {
	change
	command string // for the record, e.g. "create c1"
	apply   func(*clusterconf.Document) error

	// carryOut, where given, does this server's own part under the document's
	// lock, and returns how to undo it. It is not called in a dry run, nor
	// when nothing changes.
	carryOut func(before, after *clusterconf.Document) (undo func() error, err error)
}

// outcome is what an edit came to.
type outcome struct {
	clusterconf.Result
	agent bool // an agent runs here and was told
}

// edit makes an edit where edits are made, and has the agent tell the others.
func (a *app) edit(ctx context.Context, s *server, e edit) (outcome, error) {
	doc, err := s.store.Read()
	if err != nil {
		return outcome{}, err
	}
	if err := mayEdit(ctx, s, doc, e.force); err != nil {
		return outcome{}, err
	}
	record := clusterconf.Change{By: a.env.User(), On: s.settings.Server, Command: e.command, Reason: e.reason}
	// What is refused or done already must not even leave a lock file behind.
	plan, err := s.store.Preview(record, e.apply)
	if err != nil || e.dryRun || !plan.Changed {
		return outcome{Result: plan, agent: s.agent.Running(ctx)}, err
	}
	undo := func() error { return nil }
	r, err := s.store.Edit(ctx, record, func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := e.apply(d); err != nil {
			return err
		}
		if e.carryOut == nil || clusterconf.Hash(before) == clusterconf.Hash(d) {
			return nil
		}
		u, err := e.carryOut(before, d)
		if err == nil {
			undo = u
		}
		return err
	})
	if err != nil {
		if undone := undo(); undone != nil {
			a.out.Warn("undoing this server's part: %v", undone)
		}
		return outcome{}, err
	}
	o := outcome{Result: r, agent: s.agent.Running(ctx)}
	if r.Changed && o.agent {
		if err := s.agent.Reload(ctx); err != nil {
			a.out.Warn("the document is changed, but the agent was not told: %v", err)
		}
	}
	return o, nil
}

// mayEdit holds edits to the server that holds LIM 1, so that two people on two
// servers do not make two documents of one revision.
func mayEdit(ctx context.Context, s *server, doc *clusterconf.Document, force bool) error {
	holder := holderOfLIM1(ctx, s, doc)
	if force || holder == "" || holder == s.settings.Server {
		return nil
	}
	return fault.New(fault.Refused, fmt.Sprintf("run it on %s, or with --force if that is out of reach", holder),
		"this is %s, but the document is edited on the server that holds LIM 1, %s", s.settings.Server, holder)
}

// holderOfLIM1 returns the server where LIM 1 runs as the agents say, else its
// regular server, else "".
func holderOfLIM1(ctx context.Context, s *server, doc *clusterconf.Document) string {
	if st, err := s.agent.Status(ctx); err == nil {
		if l := st.LIM(1); l != nil && l.ActiveOn != nil {
			return *l.ActiveOn
		}
	}
	if r := doc.RegularOf(1); r != nil {
		return r.Name
	}
	return ""
}

// tell answers for an edit. The texts are what was done, in three forms: "was
// done", "would be done", "was so already".
func (a *app) tell(o outcome, e edit, done, would, already string, left ...string) error {
	r := result{Changed: o.Changed, DryRun: e.dryRun, Revision: o.After.Revision}
	switch {
	case !o.Changed:
		r.Text = already
	case e.dryRun:
		r.Text = would
	default:
		r.Text = fmt.Sprintf("%s (revision %d)", done, o.After.Revision)
		r.Left = left
		if !o.agent {
			r.Left = append(r.Left, "no agent runs here, so the document is changed on this server alone; start agents to carry it to the others")
		}
	}
	return a.done(r)
}

// doing says what was being done where the error does not say so itself: the
// refusals of package clusterconf begin with what cannot be done.
func doing(err error, format string, args ...any) error {
	if strings.HasPrefix(err.Error(), "cannot ") {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
