package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// ManagementVariable names the folder in which a process that the agent starts for the
// management system finds what to do, and leaves what came of it.
const ManagementVariable = "MXCLUSTER_MANAGEMENT_FOLDER"

// ManagementCommand is that process; its files are a call and a report.
const (
	ManagementCommand = "management-process"
	ManagementCall    = "call.json"
	ManagementReport  = "report.json"
)

// The calls.
const (
	ManagementSettle  = "settle"
	ManagementFollow  = "follow"
	ManagementRelease = "release"
)

// ManagementRequest is a call.
type ManagementRequest struct {
	Call        string `json:"call"`
	Folder      string `json:"folder"` // of the half
	Synchronous bool   `json:"synchronous,omitempty"`
}

// ManagementAnswer is what came of it.
type ManagementAnswer struct {
	manager.Followed
	Position manager.Position `json:"position,omitzero"`
	Error    string           `json:"error,omitempty"`
}

// newManagementProcessCommand returns what agents start, outside their sandbox, to stop, start
// and copy PostgreSQL. Nobody calls it by hand.
func newManagementProcessCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         ManagementCommand,
		Short:       "Be a process of the management system's redundancy",
		Long:        "Management-process does for the agent what takes root outside its sandbox.",
		Hidden:      true,
		Annotations: exits(fault.Usage),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runManagementProcess(c.Context(), a, a.env.lookup(ManagementVariable))
		},
	}
}

func runManagementProcess(ctx context.Context, a *app, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, ManagementCall))
	if err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	var r ManagementRequest
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	var answer ManagementAnswer
	place := a.env.Management(r.Folder)
	switch r.Call {
	case ManagementSettle:
		err = place.Settle(ctx, r.Synchronous)
	case ManagementFollow:
		answer.Followed, err = place.Follow(ctx)
	case ManagementRelease:
		answer.Position, err = place.Release(ctx)
	default:
		return fault.New(fault.Usage, "leave it to the agent", "there is no such call")
	}
	if err != nil {
		answer.Error = err.Error()
	}
	if raw, err = json.Marshal(answer); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, ManagementReport), raw, 0o600)
}
