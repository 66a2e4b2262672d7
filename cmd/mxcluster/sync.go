package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/commands"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
	"mxcluster/xdata"
)

// syncGrace is how long a sync whose agent ends may take to put things away.
const syncGrace = 5 * time.Second

// syncBeside returns what synchronises a LIM for the agent: `mxcluster sync` in a
// process and a session of its own, so that neither its memory nor its disk's slowness
// nor its hunger for processors is the agent's.
func syncBeside(s commands.AgentSetup) func(ctx context.Context, lim int) error {
	if s.OwnUser != "" && (services.Systemd{}).Runs() {
		return syncByUnit(s)
	}
	return func(ctx context.Context, lim int) error {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		cmd := exec.CommandContext(ctx, exe, "sync", "--lim", strconv.Itoa(lim), "--quiet", "--no-input", "--output", "table",
			"--reason", "a new version is there", "--config-dir", s.Dirs.Config, "--state-dir", s.Dirs.State, "--run-dir", s.Dirs.Run)
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
		cmd.WaitDelay = syncGrace
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // sched(7), autogroup
		var said bytes.Buffer
		cmd.Stderr = &said
		err = cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		text := strings.TrimSpace(strings.TrimPrefix(said.String(), "mxcluster: "))
		if exit.ExitCode() < 0 || text == "" {
			return fmt.Errorf("mxcluster sync: %w", err)
		}
		return fault.New(fault.Code(exit.ExitCode()), "", "%s", text)
	}
}

// syncByUnit returns what has systemd synchronise a LIM, in a unit that may do to data of
// other users what the agent may not. Why it failed is what is remembered of the sync.
func syncByUnit(s commands.AgentSetup) func(ctx context.Context, lim int) error {
	records := xdata.Records{Dir: s.Dirs.Syncs()}
	return func(ctx context.Context, lim int) error {
		name := fmt.Sprintf("mxcluster-sync@%d.service", lim)
		status, err := services.Systemd{}.Task(ctx, name, syncGrace)
		switch {
		case err != nil:
			return fmt.Errorf("running %s: %w", name, err)
		case status == 0:
			return nil
		}
		text := fmt.Sprintf("%s ended with exit status %d; see 'journalctl -u %s'", name, status, name)
		if r, err := records.Read(lim); err == nil && r.Failure != nil && r.Failure.Code == fault.Code(status) {
			text = r.Failure.Error
		}
		return fault.New(fault.Code(status), "", "%s", text)
	}
}
