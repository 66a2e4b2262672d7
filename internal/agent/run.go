package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
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
	Documents  *clusterconf.Store
	StateDir   string
	RunDir     string
	Socket     string // of the control interface
	Spare      string // the same, while there is no room for that
	KeyFile    string // of the gossip keys
	XDataDir   string
	XDataStill time.Duration // the setting xdata.still; 0 takes what other programs write at once

	StartLimit, StopLimit, CheckLimit time.Duration // of one call of a service
	Untrusted                         bool          // programs that other users may change are run all the same
	OwnUser                           string        // the user that the agent is in place of root; "": it is not

	Sync SyncFunc // see Deps

	// Rehearse starts LIM software on trial; see Deps. Nil: this server cannot.
	Rehearse func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error)
	Arbiter  keeper.Arbiter // nil: there is none
	Sinks    []sinks.Sink   // that are told of alarms

	// OtherSettings tells how the settings on the disk differ from these; see Deps.
	OtherSettings func() string

	// Reload has the agent read the document and the gossip keys again with each value.
	Reload <-chan struct{}

	// Notify tells the service manager how the agent is (sd_notify).
	Notify func(state string) error

	// ShuttingDown tells whether the whole system is on its way down.
	ShuttingDown func(ctx context.Context) bool
}

// The probes before an alias comes up (RFC 5227), and how often the document's
// file is looked at.
const (
	probeCount     = 2
	probeInterval  = 10 * time.Millisecond
	documentPeriod = 500 * time.Millisecond
)

// Run supervises this server for real until ctx ends or the agent is told to stop.
func Run(ctx context.Context, cfg RunConfig) error {
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	listener, err := control.ListenWhereRoom(cfg.Socket, cfg.Spare)
	if err != nil {
		return err
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
	err = a.Run(ctx)
	cancel()
	beside.Wait()
	return errors.Join(err, <-served, listener.Close())
}

// reloadWhenTold reads the document and the keys again with each value of told. There
// is nobody to answer, so that the log says what became of it.
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

// serviceOptions are what the software of LIMs is started with.
func (cfg RunConfig) serviceOptions() services.Options {
	return services.Options{Log: cfg.Log, Instance: cfg.StateDir, RunDir: cfg.RunDir, Untrusted: cfg.Untrusted, OwnUser: cfg.OwnUser,
		StartTimeout: cfg.StartLimit, StopTimeout: cfg.StopLimit, CheckTimeout: cfg.CheckLimit}
}

// adoptSoftware takes what an agent of an older version started in this agent's control
// group out of there.
func (cfg RunConfig) adoptSoftware(ctx context.Context) {
	moved, err := services.Adopt(ctx, cfg.serviceOptions())
	if err != nil {
		cfg.Log.Warn("adopting software", "err", err)
	}
	if len(moved) > 0 {
		cfg.Log.Info("software that an agent before this one started has units of its own now", "processes", strings.Join(moved, ", "))
	}
}

// rehearse adds the limits of services to what is rehearsed.
func (cfg RunConfig) rehearse() func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
	if cfg.Rehearse == nil {
		return nil
	}
	return func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
		spec.StartLimit, spec.StopLimit, spec.CheckLimit, spec.Untrusted = cfg.StartLimit, cfg.StopLimit, cfg.CheckLimit, cfg.Untrusted
		return cfg.Rehearse(ctx, spec)
	}
}

// bootID tells one boot of this server from the next; "" where Linux does not say.
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// deps are the effects of a real server.
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

// watchFile ticks when a file is replaced or gone, and once at the start, for it may have
// been replaced since it was read. It looks rather than subscribes: a look costs a
// microsecond, and no event can be lost.
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
