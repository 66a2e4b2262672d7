//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Host is the first process of the lab's namespaces.
type Host struct {
	Dir string   // the lab folder
	Exe string   // the mxcluster program that runs in the servers; empty: this program
	Err *os.File // receives the error messages of the lab's processes

	// KeepProgram copies the program into the lab, so that it can be replaced or removed while the
	// lab is up.
	KeepProgram bool
}

// Run creates a lab and runs the scenario in it. The result is sent to the parent; the error is
// only about sending it.
func (h Host) Run(ctx context.Context, scenario Scenario) error {
	if os.Getpid() != 1 {
		return fault.New(fault.Usage, "use 'mxcluster lab demo' or 'mxcluster lab up'", "running the lab host: only the lab itself starts one")
	}
	// The servers must not inherit the parent's files.
	unix.CloseOnExec(outcomeFD)
	unix.CloseOnExec(leashFD)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leash := os.NewFile(leashFD, "leash")
	go func() {
		// Nothing is ever written to it: this returns when the parent is gone.
		_, _ = io.Copy(io.Discard, leash)
		cancel()
	}()
	pipe := os.NewFile(outcomeFD, "outcome")
	defer pipe.Close()
	outcomes := json.NewEncoder(pipe)
	err := h.play(ctx, scenario, func() error { return outcomes.Encode(outcome{Ready: true}) })
	return outcomes.Encode(outcomeOf(err))
}

func (h Host) play(ctx context.Context, scenario Scenario, ready func() error) error {
	if err := mountProc(); err != nil {
		return explainRefusal(err)
	}
	children := newProcesses()
	go children.reap(ctx)
	ctx, cancel := context.WithCancel(ctx)
	l, err := h.newLab(ctx, children)
	if err != nil {
		cancel()
		return explainRefusal(err)
	}
	l.ready = ready
	err = scenario(ctx, l)
	if err != nil && ctx.Err() == nil {
		l.tellLogs(h.Err)
	}
	cancel()
	return errors.Join(err, l.beside.Wait())
}
