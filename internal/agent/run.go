package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/rotation"
	"mxcluster/internal/services"
	"mxcluster/internal/settings"
	"mxcluster/internal/sinks"
	"mxcluster/netops"
	"mxcluster/xdata"
)

// RunConfig is a Config with the places of a real server.
type RunConfig struct {
	Config
	Documents *clusterconf.Store
	StateDir  string
	RunDir    string
	Socket    string // of the control API
	Spare     string // the same, for when there is no room for the other

	ControlGroup string // group whose members may give orders over the socket; "": none

	KeyFile    string // with the gossip keys
	XDataDir   string
	XDataStill time.Duration // the setting xdata.still; 0: no quiet period

	StartLimit, StopLimit, CheckLimit time.Duration // for one call of a service
	Untrusted                         bool          // run programs that other users may change
	OwnUser                           string        // the user that the agent runs as instead of root; "": root

	Sync SyncFunc // see Deps

	// Rehearse starts LIM software on trial; see Deps. nil: not possible on this server.
	Rehearse func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error)
	Arbiter  keeper.Arbiter // nil: there is none
	Sinks    []sinks.Sink   // that are told of alarms

	Management ManagementSystem // nil: this server cannot have one

	// OtherSettings returns how the settings on the disk differ from these; see Deps.
	OtherSettings func() string

	// Beside runs beside the agent until ctx ends, and asks it; nil: nothing does.
	Beside func(ctx context.Context, b control.Backend)

	// Reload makes the agent read the document and the gossip keys again with each value.
	Reload <-chan struct{}

	// Notify tells the service manager the agent's state (sd_notify).
	Notify func(state string) error

	// ShuttingDown tells whether the operating system is shutting down.
	ShuttingDown func(ctx context.Context) bool
}

// The probes before an alias is taken (RFC 5227), and the interval of checks of the document's
// file.
const (
	probeCount     = 2
	probeInterval  = 10 * time.Millisecond
	documentPeriod = 500 * time.Millisecond
)

// Run supervises this server until ctx ends or the agent is told to stop.
func Run(ctx context.Context, cfg RunConfig) error {
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	listener, err := control.ListenWhereRoom(cfg.Socket, cfg.Spare)
	if err != nil {
		return err
	}
	listener.AllowGroup(cfg.ControlGroup)
	if _, err := user.LookupGroup(cfg.ControlGroup); cfg.ControlGroup != "" && err != nil {
		cfg.Log.Warn("nobody but root may give orders: the group of setting control.group is not known", "group", cfg.ControlGroup, "err", err)
	}
	if listener.Spare(cfg.Socket) {
		cfg.Log.Warn("there is no room for the control socket in the runtime folder; listening beside the state", "socket", cfg.Spare)
	}
	kernel, err := netops.NewKernel()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer kernel.Close()
	cfg.Boot = bootID()
	a, err := New(cfg.Config, cfg.deps(kernel))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	served := make(chan error, 1)
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() { served <- control.Serve(serving, listener, a, cfg.Log) }()
	var beside sync.WaitGroup
	beside.Go(func() { a.reloadWhenTold(serving, cfg.Reload) })
	beside.Go(func() { cfg.adoptSoftware(serving) })
	beside.Go(func() {
		if err := cfg.serviceOptions().EndDrains(); err != nil {
			cfg.Log.Warn("ending drains that an agent before this one left", "err", err)
		}
	})
	if cfg.Beside != nil {
		beside.Go(func() { cfg.Beside(serving, a) })
	}
	err = a.Run(ctx)
	cancel()
	beside.Wait()
	return errors.Join(err, <-served, listener.Close())
}

// reloadWhenTold reads the document and the keys again with each value of told. The result is
// logged, as nobody waits for it.
func (a *Agent) reloadWhenTold(ctx context.Context, told <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-told:
		}
		switch err := a.Reload(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			a.log.Warn("told by a hangup to read the document and the keys again", "err", err)
		default:
			a.log.Info("read the document and the keys again, told by a hangup")
		}
	}
}

// serviceOptions are the options for starting the software of LIMs.
func (cfg RunConfig) serviceOptions() services.Options {
	return services.Options{Log: cfg.Log, Instance: cfg.StateDir, RunDir: cfg.RunDir, Untrusted: cfg.Untrusted, OwnUser: cfg.OwnUser,
		StartTimeout: cfg.StartLimit, StopTimeout: cfg.StopLimit, CheckTimeout: cfg.CheckLimit}
}

// adoptSoftware moves software started by an agent of an older version out of this agent's control
// group.
func (cfg RunConfig) adoptSoftware(ctx context.Context) {
	moved, err := services.Adopt(ctx, cfg.serviceOptions())
	if err != nil {
		cfg.Log.Warn("adopting software", "err", err)
	}
	if len(moved) > 0 {
		cfg.Log.Info("software that an agent before this one started has units of its own now", "processes", strings.Join(moved, ", "))
	}
}

// rehearse adds the limits of services to the rehearsal.
func (cfg RunConfig) rehearse() func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
	if cfg.Rehearse == nil {
		return nil
	}
	return func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
		spec.StartLimit, spec.StopLimit, spec.CheckLimit, spec.Untrusted = cfg.StartLimit, cfg.StopLimit, cfg.CheckLimit, cfg.Untrusted
		return cfg.Rehearse(ctx, spec)
	}
}

// bootID returns the ID of this boot of the server; "" if Linux does not provide it.
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// deps returns the effects on a real server.
func (cfg RunConfig) deps(kernel *netops.Kernel) Deps {
	versions := &xdata.Store{
		Dir: cfg.XDataDir, Still: xdata.StillOf(cfg.XDataStill), Notes: settings.Dirs{State: cfg.StateDir}.Findings(),
		Warn: func(err error) { cfg.Log.Warn("data versions", "warning", xdata.Advice(err)) },
		Paired: func(lim int) bool {
			doc, err := cfg.Documents.Read()
			return err != nil || doc.ClusterOfLIM(lim) != nil
		},
	}
	syncs := xdata.Records{Dir: settings.Dirs{State: cfg.StateDir}.Syncs()}
	return Deps{
		Kernel:   kernel,
		OpenWire: func(ifname string) (Wire, error) { return netops.OpenWire(ifname) },
		Probe: func(ctx context.Context, w Wire, addr netip.Addr) (net.HardwareAddr, bool, error) {
			return netops.Probe(ctx, w, addr, probeCount, probeInterval)
		},
		OpenPool: func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
			return member.Open(member.Config{Name: cfg.Server, Bind: bind, Keys: keys, Log: cfg.Log, Now: time.Now})
		},
		Keys:      rotation.Disk{Path: cfg.KeyFile},
		Documents: cfg.Documents,
		Changed:   func(ctx context.Context) <-chan struct{} { return watchFile(ctx, cfg.Documents.Path) },
		Arbiter:   cfg.Arbiter,
		Sinks:     cfg.Sinks,
		State:     DiskState{Path: filepath.Join(cfg.StateDir, "agent.json"), Kept: filepath.Join(cfg.RunDir, "agent.json"), Boot: cfg.Boot},
		Events:    &events.Log{Path: filepath.Join(cfg.StateDir, "events")},
		Software: func(l *clusterconf.LIM, side clusterconf.Side) (services.Set, error) {
			return services.ForLIM(l, side, cfg.serviceOptions())
		},
		Ability: func(ctx context.Context, l *clusterconf.LIM, env services.Env) (failed, unknown string) {
			return services.Ability(ctx, l, env, cfg.serviceOptions())
		},
		Prune: func(ctx context.Context, lim int) (int, error) {
			removed, err := versions.KeepNewest(ctx, lim)
			return len(removed), err
		},
		Data:    (&dataFinder{versions: versions}).newest,
		Started: versions.Started,
		Room:    func() error { return roomIn(cfg.StateDir, cfg.RunDir, filepath.Dir(cfg.Documents.Path)) },
		Prompts: lookForPrompts,

		OtherSettings: cfg.OtherSettings,
		Files:         os.DirFS("/"),
		Notify:        cfg.Notify,
		ShuttingDown:  cfg.ShuttingDown,
		Sync:          cfg.Sync,
		Management:    cfg.Management,
		Rehearse:      cfg.rehearse(),
		EndRehearsals: cfg.serviceOptions().EndRehearsals,
		Synced: func(lim int, now time.Time) (SyncRecord, error) {
			r, err := syncs.Begin(lim, now)
			out := SyncRecord{Failed: r.Failed(now)}
			if r.LastGood != nil {
				out.Good = *r.LastGood
			}
			return out, err
		},
	}
}

// watchFile sends a value when a file is replaced or removed, and one at the start, since it may
// have been replaced after it was read. It polls instead of subscribing: a poll costs a
// microsecond, and no event is lost.
func watchFile(ctx context.Context, path string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	go func() {
		tick := time.NewTicker(documentPeriod)
		defer tick.Stop()
		var last os.FileInfo
		missed := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := os.Stat(path)
			switch {
			case err != nil && missed:
				continue
			case err == nil && last != nil && os.SameFile(last, now) && last.ModTime().Equal(now.ModTime()) && last.Size() == now.Size():
				continue
			}
			last, missed = now, err != nil
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}()
	return ch
}
