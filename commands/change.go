package commands

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// defaultWait is the limit of --wait without a value (contract, section 1).
const defaultWait = 60 * time.Second

// change is the flags of commands that change something.
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

// addWait adds --wait, for changes that agents carry out.
func (o *change) addWait(f *pflag.FlagSet) {
	f.DurationVar(&o.wait, "wait", 0, "wait until it is done, at most this `time`; exit code 8 when that runs out")
	f.Lookup("wait").NoOptDefVal = defaultWait.String()
}

// endOf returns the end that --for gives; nil: it was not given.
func endOf(now time.Time, limit time.Duration, given bool) *time.Time {
	if !given {
		return nil
	}
	end := now.Add(limit)
	return &end
}

// addForce adds --force, for edits of the cluster document.
func (o *change) addForce(f *pflag.FlagSet) {
	f.BoolVar(&o.force, "force", false, "edit the document here, wherever edits are carried out")
}

// addEditFlags adds the flags that every edit of the document has.
func (o *change) addEditFlags(f *pflag.FlagSet) {
	o.addFlags(f)
	o.addWait(f)
	o.addForce(f)
}

// editCodes returns the exit codes of an edit.
func editCodes() []fault.Code {
	return []fault.Code{fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted, fault.Invalid}
}

// edit is one edit of the cluster document, with its texts.
type edit struct {
	change
	command string // for the record, e.g. "create c1"
	doing   string // for errors, e.g. "creating cluster c1"

	done, would, already string // the result, for each case
	// left returns what the user has to do afterwards; may be nil.
	left func(after *clusterconf.Document) []string

	apply func(*clusterconf.Document) error

	// warning is shown in any case; "": none.
	warning string

	// loses marks an edit that the opposite command cannot revert: it needs a confirmation.
	loses bool
	// first runs before the document changes, and returns what it did; in a dry run, what it would
	// do. May be nil.
	first func(context.Context) ([]string, error)
	// then is waited for in addition to the document's distribution; may be nil.
	then goal
}

// outcome is the result of an edit.
type outcome struct {
	clusterconf.Result
	agent bool                     // an agent runs here
	place editPlace                // where it is carried out
	lives func(server string) bool // whether a server's agent is alive
	says  []string                 // what it does, one line each
	old   []xdata.Version          // data versions here that become incompatible
	stops []explain.Displacement   // LIMs that would be stopped on a standby for others
	left  []string                 // what is left to do, and where
}

// perform carries out an edit, waits if asked to, and shows the outcome. If the wait is too long
// that is an error, but the edit remains, and is shown as well.
func (s *server) perform(ctx context.Context, e edit) error {
	out, live, err := s.edit(ctx, e)
	if err != nil {
		return doing(err, "%s", e.doing)
	}
	var waited error
	if e.wait > 0 && !e.dryRun {
		waited = s.awaitEdit(ctx, e, out, live)
	}
	if err := s.tell(out, e); err != nil || waited == nil {
		return err
	}
	return doing(waited, "%s", e.doing)
}

// tell shows the outcome of an edit.
func (a *app) tell(o outcome, e edit) error {
	if o.Changed && e.warning != "" {
		a.out.Warn("%s", e.warning)
	}
	r := result{Changed: o.Changed, DryRun: e.dryRun, Revision: o.After.Revision, Changes: o.says}
	switch {
	case !o.Changed:
		r.Text = e.already
	case e.dryRun:
		r.Text = e.would
	default:
		r.Text = fmt.Sprintf("%s (revision %d)", e.done, o.After.Revision)
		r.Left = o.left
		if e.left != nil {
			r.Left = append(r.Left, e.left(o.After.Document)...)
		}
		if !o.agent {
			r.Left = append(r.Left, "no agent runs here, so the document is changed on this server alone; start agents to carry it to the others")
		}
	}
	return a.done(r)
}

// confirm asks before something is lost. It always asks for edits marked loses, and where a LIM on
// a standby is stopped for another one; it asks about data versions that are removed, and about a
// document that no older version can read, only on a terminal, where a person can look at it first. In
// scripts --yes confirms the former, and the latter need no confirmation.
func (a *app) confirm(e edit, out outcome) error {
	raises := raises(out.Result)
	if raises && (a.globals.yes || !a.ask.Terminal) {
		a.out.Note("%s", raiseWords(out.Result))
	}
	if a.globals.yes || !e.loses && len(out.stops) == 0 && (!a.ask.Terminal || !raises && len(out.old) == 0) {
		return nil
	}
	if len(out.stops) > 0 && !a.ask.Terminal {
		return a.confirmStop(out.stops[0].String())
	}
	if a.ask.Terminal {
		text := ui.Plain(e.would) + ":\n"
		for _, line := range out.says {
			text += "  " + ui.Plain(line) + "\n"
		}
		_, _ = io.WriteString(a.ask.Out, text) // an error shows with the question that follows
	}
	ok, err := a.yes("Go on, yes or no")
	if err == nil && !ok {
		err = fault.New(fault.Refused, "", "not confirmed, nothing was changed")
	}
	return err
}

// yes asks a question that --yes confirms in scripts. No answer means no.
func (a *app) yes(question string) (bool, error) {
	answer, err := a.ask.Ask("yes", question, "no")
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}

// doing adds what was being done to an error that does not say so itself, as refusals of package
// clusterconf and errors of reading a file do.
func doing(err error, format string, args ...any) error {
	if text := err.Error(); strings.HasPrefix(text, "cannot ") || strings.HasPrefix(text, "reading ") {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
