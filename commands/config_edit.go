package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/shell"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

type configEditOptions struct {
	change
	from string
}

// newConfigEditCommand returns `config edit`.
func newConfigEditCommand(a *app) *cobra.Command {
	var o configEditOptions
	c := &cobra.Command{
		Use:   "edit",
		Short: "Edit the cluster document by hand",
		Long: `Config edit opens a copy of the cluster document in the editor that $VISUAL or
$EDITOR names, else vi, and stores it as a new revision when it keeps every rule.
Faults are listed with their lines; on a terminal the text can be edited again.
What could not be stored is kept in a file that is named, and --from begins with
it. It is refused if the document was changed by others meanwhile. A document that is
broken is opened as it lies there.

Leave the revision and the time of the last change as they are. Comments are not
kept.`,
		Example:     "  mxcluster config edit --reason 'new interface names'\n  EDITOR='sed -i s/eth0/eth1/' mxcluster config edit",
		Annotations: exits(editCodes()...),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runConfigEdit(c.Context(), a, o); err != nil {
				return fmt.Errorf("editing the cluster document: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "begin with the text in this `file`, such as one that was kept")
	o.addEditFlags(c.Flags())
	return c
}

// runConfigEdit never loses what a person wrote: the copy goes only when it is
// stored, or when nothing was changed.
func runConfigEdit(ctx context.Context, a *app, o configEditOptions) error {
	s, text, err := a.textToEdit(ctx, o.force)
	if err != nil {
		return err
	}
	editor, err := a.editor()
	if err != nil {
		return err
	}
	if o.from != "" {
		if text, err = readText(o.from); err != nil {
			return err
		}
	}
	file, err := privateCopy(a.env.lookup("TMPDIR"), text)
	if err != nil {
		return err
	}
	edited, err := a.editUntilValid(ctx, editor, file)
	if err == nil {
		err = s.storeOrRepair(ctx, o.change, edited)
	}
	if now, unread := os.ReadFile(file); err == nil || unread == nil && bytes.Equal(now, text) {
		return errors.Join(err, os.RemoveAll(filepath.Dir(file)))
	}
	return &fault.Error{Code: fault.CodeOf(err), Hint: keptHint(err, file), Err: err}
}

// keptHint adds how to go on with a text to the remedy there is.
func keptHint(err error, file string) string {
	hint := fault.HintOf(err)
	if hint != "" && !strings.HasSuffix(hint, "?") {
		hint += ";"
	}
	return strings.TrimSpace(hint + " what you wrote is kept, go on with it: mxcluster config edit --from " + file)
}

// editor splits what the environment names as a shell does, without its expansions.
func (a *app) editor() ([]string, error) {
	for _, key := range []string{"VISUAL", "EDITOR"} {
		text := a.env.lookup(key)
		if text == "" {
			continue
		}
		words, err := shell.Fields(text, func(string) string { return "" })
		if err != nil || len(words) == 0 {
			return nil, fault.New(fault.Usage, "write it as on a shell's command line", "$%s is no command: %q", key, text)
		}
		return words, nil
	}
	if a.ask.Terminal {
		return []string{"vi"}, nil
	}
	return nil, fault.New(fault.Usage, "set EDITOR to one that needs no terminal", "there is no terminal for an editor")
}

// privateCopy writes a text where only this user sees and changes it: in a folder of
// its own below dir, or below the system's for "".
func privateCopy(dir string, text []byte) (file string, err error) {
	dir, err = os.MkdirTemp(dir, "mxcluster-edit-")
	if err != nil {
		return "", fmt.Errorf("making a copy to edit: %w", err)
	}
	file = filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("making a copy to edit: %w", err), os.RemoveAll(dir))
	}
	return file, nil
}

// editUntilValid has the file edited until it keeps every rule, or until the user
// gives up.
func (a *app) editUntilValid(ctx context.Context, editor []string, file string) (*clusterconf.Document, error) {
	for {
		if err := a.env.Edit(ctx, editor, file); err != nil {
			return nil, fmt.Errorf("running the editor %s: %w", editor[0], err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err // the editor was told to end, and what it left is nobody's decision
		}
		data, err := readText(file)
		if err != nil {
			return nil, err
		}
		doc, err := clusterconf.Parse(file, data)
		var wrong *clusterconf.ValidationError
		if !errors.As(err, &wrong) {
			return doc, err
		}
		// One fault is told by the error, and beside an error in JSON there is nothing.
		if !a.ask.Terminal && (a.out.Machine() || len(wrong.Violations) == 1) {
			return nil, err
		}
		for _, v := range wrong.Violations {
			_ = violation{v.Line, v.Column, v.Path, v.Rule, v.Message, v.Hint}.write(a.out.Notes, file)
		}
		listed := fault.New(fault.Invalid, "", "%s is not valid: %s", file, count(len(wrong.Violations), "fault"))
		if !a.ask.Terminal {
			return nil, listed
		}
		// The end of the input counts as no: the editor would come up for ever.
		if again, asked := a.yes("Edit again, yes or no"); asked != nil || !again {
			return nil, listed
		}
	}
}

func (s *server) storeEdited(ctx context.Context, o change, edited *clusterconf.Document) error {
	return s.perform(ctx, edit{
		change: o, command: "config edit", doing: "storing it",
		done: "the edited cluster document is stored", would: "the edited cluster document would be stored",
		already: "nothing was changed",
		apply:   func(d *clusterconf.Document) error { return d.ReplaceWith(edited) },
	})
}
