package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mxcluster/commands"
	"mxcluster/internal/confine"
	"mxcluster/internal/failover"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/services"
)

// rehearseBeside returns what rehearses for the agent: this program in a process of its
// own, outside the agent's sandbox. It takes root.
func rehearseBeside(s commands.AgentSetup) func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
	if s.OwnUser != "" || os.Geteuid() != 0 {
		return nil
	}
	opt := services.Options{Instance: s.Dirs.State, RunDir: s.Dirs.Run, Log: s.Log}
	return func(ctx context.Context, spec rehearsal.Spec) (r failover.Rehearsal, err error) {
		exe, err := os.Executable()
		if err != nil {
			return r, fmt.Errorf("finding this program: %w", err)
		}
		dir := filepath.Join(s.Dirs.Run, "rehearsal")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			return r, fmt.Errorf("making a folder for a rehearsal: %w", err)
		}
		raw, err := json.Marshal(spec)
		if err != nil {
			return r, err
		}
		if err := os.WriteFile(filepath.Join(dir, commands.RehearsalSpec), raw, 0o600); err != nil {
			return r, fmt.Errorf("saying what to rehearse: %w", err)
		}
		if err := services.RunApart(ctx, opt, spec.LIM.Number, exe, confine.Command, spec.Limit()+time.Second, commands.RehearsalVariable+"="+dir); err != nil {
			return r, err
		}
		if raw, err = os.ReadFile(filepath.Join(dir, commands.RehearsalReport)); err != nil {
			return r, fmt.Errorf("reading what came of a rehearsal: %w", err)
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return r, fmt.Errorf("reading what came of a rehearsal: %w", err)
		}
		return r, nil
	}
}
