// Command mxcluster keeps telephone exchange servers reachable when one of them
// fails. See package commands for what it can do.
package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"mxcluster/commands"
	"mxcluster/internal/agent"
	"mxcluster/internal/control"
	"mxcluster/internal/export"
	"mxcluster/internal/levels"
	"mxcluster/internal/manager/postgres"
	"mxcluster/netops"
)

// Most commands, and a sync with nothing to do, end before their garbage is worth
// collecting: with Go's own setting that takes up to a third of their time. So it is
// collected for the first time at 40 MB, and from then on as Go does by itself. The
// agent, which stays, does so from the start.
const firstGC, laterGC = 1000, 100

// umask is what everything is made with, whoever starts the program: folders that nobody
// can enter, or that everybody can write to, come of others. LIM software inherits it.
const umask = 0o022

func main() {
	unix.Umask(umask)
	s := listen()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(firstGC)
		runtime.AddCleanup(new(*int), func(percent int) { debug.SetGCPercent(percent) }, laterGC) // when it is collected
	}
	os.Exit(int(commands.Run(s.ctx, environment(s), os.Args[1:])))
}

// environment is what the commands get from the machine.
func environment(s *signals) commands.Env {
	return commands.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ:  os.Environ(),
		Terminal: isTerminal,
		Screen:   openScreen,
		User:     userName,
		Now:      time.Now,
		Kernel:   func() (commands.Kernel, error) { return netops.NewKernel() },
		Wire:     func(ifname string) (commands.Wire, error) { return netops.OpenWire(ifname) },
		Agent: func(socket, spare, start string) commands.Agent {
			return &control.Client{Path: socket, Spare: spare, Start: start, Version: version().Version}
		},
		Edit:           edit,
		Watch:          watch,
		Machine:        commands.Machine{Files: os.DirFS("/"), Port: netops.TryPort, Segment: netops.TrySegment, Blocking: netops.TryBlocking, ClockKept: clockKept},
		Tell:           tell,
		Postgres:       postgres.Host{ConfRoot: postgresConfRoot()}.Look,
		PackageVersion: packageVersion, Install: installPackages,
		Management: managementPlace, HasAccount: hasAccount, SetPassword: setPassword,
		OwnUser:    ownUser(),
		ActAs:      asRoot(actAs),
		RunAgent:   func(ctx context.Context, setup commands.AgentSetup) error { return runAgent(ctx, setup, s.hangups()) },
		Fetch:      agent.FetchDocument,
		Version:    version(),
		ExportWork: export.Work,
	}
}

// asRoot leaves a function to root alone.
func asRoot(f func(uid int) error) func(uid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return f
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// userName names who runs the command, and under sudo who that really is.
func userName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// runAgent gives the agent what it asks for of a server's settings. A hangup that came
// before it was asked for has ended the command: nothing has begun by then.
func runAgent(ctx context.Context, s commands.AgentSetup, hangups <-chan struct{}) error {
	if errors.Is(context.Cause(ctx), told{unix.SIGHUP}) {
		return ctx.Err()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(laterGC)
	}
	arb, err := openArbiter(s)
	if err != nil {
		return err
	}
	told, err := openSinks(s)
	if err != nil {
		return err
	}
	cfg := agent.RunConfig{
		Config: agent.Config{
			Server: s.Settings.Server, GossipPort: uint16(s.Settings.GossipPort),
			Lease: s.Settings.AliasLease, StopLease: s.Settings.StopLease, StartGrace: s.Settings.StartGrace,
			FirstHold: s.Settings.FallbackHold, FromLoad: s.Settings.FallbackFromLoad,
			ARPBudget: s.Settings.ARPBudget, ARPRefresh: s.Settings.ARPRefresh, CheckInterval: s.Settings.ServiceCheckInterval, Restarts: s.Settings.ServiceRestarts,
			Version: s.Version, Levels: levels.Known(), PID: os.Getpid(), Watchdog: watchdog(), Log: s.Log, ArbiterLease: s.Settings.Arbiter.Lease,
		},
		Documents: s.Documents, StateDir: s.Dirs.State, RunDir: s.Dirs.Run, Socket: s.Socket, Spare: s.Spare, ControlGroup: s.Settings.ControlGroup, KeyFile: s.KeyFile, XDataDir: s.Settings.XDataDir, XDataStill: s.Settings.XDataStill,
		StartLimit: s.Settings.ServiceStartLimit, StopLimit: s.Settings.ServiceStopLimit, CheckLimit: s.Settings.ServiceCheckLimit, Untrusted: s.Force, OwnUser: s.OwnUser,
		Sync:          syncBeside(s),
		Rehearse:      rehearseBeside(s),
		Sinks:         told,
		Beside:        serveHTTP(s),
		Management:    managementBeside(s),
		OtherSettings: func() string { return s.Dirs.Differ(s.Settings, os.Environ()) },
		Reload:        hangups,
		ShuttingDown:  shuttingDown, Notify: notify,
	}
	if arb != nil {
		defer arb.Close()
		cfg.Arbiter = arb
	}
	return agent.Run(ctx, cfg)
}
