package commands

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/fault"
	"mxcluster/internal/lab"
	"mxcluster/internal/ui"
)

// labUpOptions are the shape of a lab that stays up.
type labUpOptions struct {
	labOptions
	lims      int
	preloaded bool
}

// labLIMs is the number of LIMs of a lab without --lims; a preloaded one has one.
const labLIMs = 2

func (o *labUpOptions) addFlags(f *pflag.FlagSet) {
	o.labOptions.addFlags(f)
	f.IntVar(&o.lims, "lims", 0, fmt.Sprintf("`number` of LIMs, from 1 to %d (default %d)", lab.MaxLIMs, labLIMs))
	f.BoolVar(&o.preloaded, "preloaded", false, "one LIM, which is loaded on the standby, too")
}

func (o *labUpOptions) options(given bool) (lab.UpOptions, error) {
	up := lab.UpOptions{Dir: o.dir, LIMs: o.lims, Preloaded: o.preloaded}
	switch {
	case !given && o.preloaded:
		up.LIMs = 1
	case !given:
		up.LIMs = labLIMs
	case o.lims < 1 || o.lims > lab.MaxLIMs:
		return up, fault.New(fault.Usage, fmt.Sprintf("give a number from 1 to %d", lab.MaxLIMs), "--lims: bad value %d", o.lims)
	case o.preloaded && o.lims > 1:
		return up, fault.New(fault.Usage, "leave --lims out, or --preloaded", "--preloaded: a preloaded cluster has one LIM, not %d", o.lims)
	}
	return up, nil
}

func newLabUpCommand(a *app) *cobra.Command {
	var o labUpOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster to try things on",
		Long: fmt.Sprintf(`Lab up makes a cluster of some LIMs and a standby, and a phone that calls each LIM
all the time, and leaves them running until 'mxcluster lab down'. It shows the
commands by which the cluster is made. Servers are srv1 (LIM 1), srv2 (LIM 2) and so
on, and the standby sb1. What is done to them is undone by 'lab heal', or by taking
the lab down; nothing else on this machine notices. Where a lab of that kind is up
already nothing is done; one of another kind has to be taken down before.
Each server is some processes of about 40 MB in all; %d LIMs take a minute to start.`, lab.MaxLIMs),
		Example:     "  mxcluster lab up\n  mxcluster lab up --lims 3\n  mxcluster lab up --preloaded",
		Annotations: exits(fault.Refused, fault.Busy, fault.NotPermitted, fault.Interrupted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			up, err := o.options(c.Flags().Changed("lims"))
			if err != nil {
				return err
			}
			return runLabUp(c.Context(), a, up)
		},
	}
	o.addFlags(c.Flags())
	return c
}

func runLabUp(ctx context.Context, a *app, o lab.UpOptions) error {
	say := a.env.Stderr
	if a.out.Quiet {
		say = io.Discard
	}
	st, changed, err := lab.Up(ctx, o, say)
	if err != nil {
		return err
	}
	if a.out.Machine() {
		return a.out.Show(ui.View{Object: newLabStatusOf(st)})
	}
	text := "a lab is up in " + o.Dir
	if !changed {
		text += " already"
	}
	a.out.Note("%s; 'mxcluster lab down' ends it", text)
	a.out.Note("try one of these next:")
	return a.out.Lines("  mxcluster lab exec sb1 -- mxcluster status", "  mxcluster lab fail srv1 --how power", "  mxcluster lab status")
}

func newLabDownCommand(a *app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:   "down",
		Short: "End the cluster of 'lab up'",
		Long: `Lab down ends every process of the lab that is up and removes its folder, and with it
all that was done in there. It also removes what a lab left that was killed, or that a
reboot of this machine ended.`,
		Example:     "  mxcluster lab down",
		Annotations: exits(fault.Busy, fault.Unknown, fault.NotPermitted, fault.Interrupted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			ended, removed, err := lab.Down(c.Context(), o.dir)
			if err != nil {
				return err
			}
			text := "no lab is up in " + o.dir
			switch {
			case ended:
				text = "the lab in " + o.dir + " is ended and removed"
			case removed:
				text += "; what one had left there is removed"
			}
			return a.done(result{Changed: removed, Text: text})
		},
	}
	o.addFlags(c.Flags())
	return c
}

// newLabKeepCommand returns the keeper's process, which is not for users.
func newLabKeepCommand(*app) *cobra.Command {
	var o labUpOptions
	c := &cobra.Command{
		Use:         "keep",
		Short:       "Be the keeper of a lab that stays up",
		Long:        "Lab keep is the process that 'lab up' leaves behind.",
		Hidden:      true,
		Annotations: exits(),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			up, err := o.options(true)
			if err != nil {
				return err
			}
			return lab.Keep(c.Context(), up)
		},
	}
	o.addFlags(c.Flags())
	return c
}
