package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"mxcluster/internal/confine"
	"mxcluster/internal/fault"
	"mxcluster/internal/rehearsal"
)

// RehearsalVariable names the folder in which the runner of a rehearsal finds what to do,
// and leaves what came of it.
const RehearsalVariable = "MXCLUSTER_REHEARSAL_FOLDER"

// The files there, and the folder that the runner mounts on.
const (
	RehearsalSpec    = "rehearsal.json"
	RehearsalReport  = "report.json"
	rehearsalScratch = "scratch"
)

// newRehearsalProcessCommand returns what agents start for a rehearsal. Nobody calls it by
// hand.
func newRehearsalProcessCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         confine.Command + " [STAGE [SCRATCH]]",
		Short:       "Be a process of a rehearsal",
		Long:        "Rehearsal-process runs the software of a LIM apart from everything.",
		Hidden:      true,
		Annotations: exits(),
		Args:        cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			switch stage := optionalArgument(args[:min(1, len(args))]); {
			case stage == "":
				return runRehearsal(c.Context(), a.env.lookup(RehearsalVariable))
			case stage == confine.StageFirst && len(args) == 2:
				return confine.First(a.env.Stdin, a.env.Stdout, a.env.Stderr, args[1])
			case stage == confine.StageWorker:
				return confine.Worker(c.Context(), a.env.Stdin, a.env.Stdout)
			}
			return fault.New(fault.Usage, "leave it to the agent", "there is no such stage of a rehearsal")
		},
	}
}

// runRehearsal does what is written in a folder, and writes there what came of it.
func runRehearsal(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the folder of the rehearsal: %w", err)
	}
	defer root.Close()
	raw, err := root.ReadFile(RehearsalSpec)
	if err != nil {
		return err
	}
	var spec rehearsal.Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	if err := root.MkdirAll(rehearsalScratch, 0o700); err != nil {
		return err
	}
	raw, err = json.Marshal(confine.Run(ctx, spec, dir+"/"+rehearsalScratch))
	if err != nil {
		return err
	}
	return renameio.WriteFile(dir+"/"+RehearsalReport, raw, 0o600)
}
