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
	f.BoolVar(&o.force, "force", false, "edit the document here, wherever edits are carried out")
}

// addEditFlags adds all of them, as every edit of the document has them.
func (o *change) addEditFlags(f *pflag.FlagSet) {
	o.addFlags(f)
	o.addWait(f)
	o.addForce(f)
}

// editCodes are the exit codes of an edit.
func editCodes() []fault.Code {
	return []fault.Code{fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted, fault.Invalid}
}

// edit is one edit of the cluster document, and what is said of it.
type edit struct {
	change
	command string // for the record, e.g. "create c1"
	doing   string // for errors, e.g. "creating cluster c1"

	done, would, already string // what is told of it
	// left, where given, is what the user has to do after it.
	left func(after *clusterconf.Document) []string

	apply func(*clusterconf.Document) error

	// warning, where given, is what must not be missed of it.
	warning string

	// loses marks what cannot be had back by the opposite command: it is not done
	// without a yes.
	loses bool
	// first, where given, is what has to come about before the document changes.
	// It returns what it did. In a dry run it only says so.
	first func(context.Context) ([]string, error)
	// then, where given, is waited for beside the spreading of the document.
	then goal
}

// outcome is what an edit came to.
type outcome struct {
	clusterconf.Result
	agent bool                     // an agent runs here
	place editPlace                // where it is carried out
	lives func(server string) bool // whether a server's agent is heard
	says  []string                 // what it does, line by line
	old   []xdata.Version          // data versions here that no longer fit
	stops []explain.Displacement   // LIMs that would be stopped on a standby for others
	left  []string                 // what is left to do, and where
}

// perform makes an edit, waits where that is asked for, and tells the outcome. A wait
// that runs out is an error, but the edit stands, and that is told too.
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

// tell answers for an edit.
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

// confirm asks before something is lost: by those edits that lose something by
// themselves always, and where a LIM is stopped on a standby for another one; by the
// others where data versions go that a person may look at first. A script answers the
// first kinds with --yes and is not asked about the last, which it could not look at.
func (a *app) confirm(e edit, out outcome) error {
	if a.globals.yes || !e.loses && len(out.stops) == 0 && (!a.ask.Terminal || len(out.old) == 0) {
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
		_, _ = io.WriteString(a.ask.Out, text) // the question that follows tells of an error
	}
	ok, err := a.yes("Go on, yes or no")
	if err == nil && !ok {
		err = fault.New(fault.Refused, "", "not confirmed, nothing was changed")
	}
	return err
}

// yes asks a question that --yes answers in a script. No answer is no.
func (a *app) yes(question string) (bool, error) {
	answer, err := a.ask.Ask("yes", question, "no")
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}

// doing says what was being done where the error does not say so itself: the
// refusals of package clusterconf begin with what cannot be done.
func doing(err error, format string, args ...any) error {
	if strings.HasPrefix(err.Error(), "cannot ") {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
