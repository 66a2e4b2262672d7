//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// limStatus returns a LIM's part of a server's status.
func limStatus(ctx context.Context, s *Server, number int) (*status.StatusLIM, error) {
	out, err := s.Mxcluster(ctx, "status", "-o", "json")
	if err != nil {
		return nil, err
	}
	var answer status.ClusterStatus
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("reading the status of %s: %w", s.Name, err)
	}
	for _, c := range answer.Clusters {
		for i := range c.LIMs {
			if c.LIMs[i].LIM == number {
				return &c.LIMs[i], nil
			}
		}
	}
	return nil, fault.New(fault.NotFound, "", "status of %s knows no LIM %d", s.Name, number)
}

// awaitLIM polls a server's status until wanted accepts a LIM's part. Errors are ignored, as agents
// may still be starting.
func awaitLIM(ctx context.Context, s *Server, number int, what string, wanted func(*status.StatusLIM) bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	last := "never asked"
	for {
		l, err := limStatus(ctx, s, number)
		switch {
		case err == nil && wanted(l):
			return nil
		case err == nil:
			last = fmt.Sprintf("side %s, state %s, fallback blocked by %q", l.Side, l.State, l.Fallback.BlockedBy)
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s says that LIM %d %s: %w (last: %s)",
				s.Name, number, what, context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}

// runsOn is a condition for awaitLIM.
func runsOn(server string) func(*status.StatusLIM) bool {
	return func(l *status.StatusLIM) bool {
		return l.ActiveOn != nil && *l.ActiveOn == server && l.State == "running"
	}
}

// fallbackReady is a condition for awaitLIM.
func fallbackReady(l *status.StatusLIM) bool { return l.Fallback.Ready != nil && *l.Fallback.Ready }

// inSyncOn is a condition for awaitLIM.
func inSyncOn(server string) func(*status.StatusLIM) bool {
	return func(l *status.StatusLIM) bool {
		return runsOn(server)(l) && l.Data != nil && l.Data.InSync != nil && *l.Data.InSync
	}
}
