//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// brokenFile is in the folder of a server on which LIM software fails; exchange.sh looks for it.
const brokenFile = "broken"

// Fail makes a server fail in one way. It reports whether anything changed: a fault is made once.
func (s *Server) Fail(ctx context.Context, how Fault) (bool, error) {
	switch {
	case slices.Contains(s.faults, how):
		return false, nil
	case s.first == nil:
		return false, fault.New(fault.Refused, fmt.Sprintf("'mxcluster lab heal %s' gives it back", s.Name), "server %s has no power", s.Name)
	}
	var err error
	switch how {
	case FaultPower:
		err = s.PowerCut()
	case FaultCable:
		err = s.SetCable(false)
	case FaultAgent:
		err = s.killAgent(ctx)
	case FaultService:
		err = s.breakSoftware(ctx)
	case FaultFreeze:
		err = s.signalAll(ctx, "STOP")
	default:
		err = fault.New(fault.Usage, "", "no such fault: %q", how)
	}
	if err != nil {
		return false, err
	}
	if how == FaultPower { // a boot ends what is not on the disk
		s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool { return f != FaultService })
	}
	s.faults = append(s.faults, how)
	return true, nil
}

// Heal ends all faults of a server and starts its agent where none runs. It returns what it ended.
func (s *Server) Heal(ctx context.Context) ([]Fault, error) {
	healed := slices.Clone(s.faults)
	if err := os.Remove(filepath.Join(s.dir, brokenFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("healing %s: %w", s.Name, err)
	}
	if s.first == nil {
		s.followDocument()
		if err := s.Boot(ctx); err != nil {
			return nil, err
		}
	}
	if slices.Contains(healed, FaultCable) {
		if err := s.SetCable(true); err != nil {
			return nil, err
		}
	}
	if slices.Contains(healed, FaultFreeze) {
		if err := s.signalAll(ctx, "CONT"); err != nil {
			return nil, err
		}
	}
	if !s.agentRuns() {
		if err := s.StartAgent(ctx); err != nil {
			return nil, err
		}
		if !slices.Contains(healed, FaultPower) && !slices.Contains(healed, FaultAgent) {
			healed = append(healed, FaultAgent)
		}
	}
	if err := s.awaitAgent(ctx); err != nil {
		return nil, err
	}
	s.faults = nil
	return healed, nil
}

// followDocument is the edit of the operating system's network files that belongs to a change of
// the server's base in the document.
func (s *Server) followDocument() {
	doc, err := (&clusterconf.Store{Path: filepath.Join(s.dir, "etc", "cluster.yaml")}).Read()
	if err != nil {
		return // it boots with what it had
	}
	if me := doc.Server(s.Name); me != nil {
		s.SetBase(me.Base)
	}
}

// agentRuns reports whether the agent that was started last still runs.
func (s *Server) agentRuns() bool {
	if s.agent == nil {
		return false
	}
	select {
	case <-s.agent.ended:
		return false
	default:
		return true
	}
}

// killAgent ends the agent as a fault of its own would.
func (s *Server) killAgent(ctx context.Context) error {
	if !s.agentRuns() {
		return fault.New(fault.Refused, fmt.Sprintf("'mxcluster lab heal %s' starts it", s.Name), "no agent runs on %s", s.Name)
	}
	return s.SignalAgent(ctx, unix.SIGKILL)
}

// breakSoftware ends the software of the LIM that runs here, and lets none start.
func (s *Server) breakSoftware(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(s.dir, brokenFile), nil, 0o600); err != nil {
		return fmt.Errorf("breaking the software of %s: %w", s.Name, err)
	}
	return s.shell(ctx, "for f in run/exchange-*.pid; do [ ! -r $f ] || kill -KILL $(cat $f); done")
}

// signalAll sends a signal to every process of the server but its first one.
func (s *Server) signalAll(ctx context.Context, signal string) error {
	return s.shell(ctx, "kill -"+signal+" -1")
}

// shell runs a command line that has to succeed.
func (s *Server) shell(ctx context.Context, line string) error {
	r, err := s.Run(ctx, nil, "sh", "-c", line)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s", line, r.Code, r.Err)
	}
	return err
}
