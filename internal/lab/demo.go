//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// Bounds that the demonstration promises.
const (
	demoFailoverAfter = 300 * time.Millisecond
	// demoTakeover bounds the additional time of a takeover after failover-after, as seen by a
	// client, also on a busy machine.
	demoTakeover = 700 * time.Millisecond
	demoPatience = 20 * time.Second // for any one step
)

// Demo runs the demonstration, that of the management system if management says so. It returns nil
// if every step and measurement was right. The host process is o.Exe, as `lab host`.
func Demo(ctx context.Context, o Options, management, quiet bool) error {
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("starting the lab: finding this program: %w", err)
		}
		o.Exe = exe
	}
	o.Host = []string{o.Exe, "lab", "host", "--lab", o.Dir}
	if management {
		if err := managementMissing(); err != nil {
			return err
		}
		o.Host = append(o.Host, "--manager")
	}
	if quiet {
		o.Host = append(o.Host, "--quiet")
	}
	return Launch(ctx, o)
}

// DemoScenario is the scenario of Demo: a cluster of two LIMs and a standby is created, loses a
// server, and gets it back. It is narrated on out.
func DemoScenario(out io.Writer, quiet bool) Scenario {
	return func(ctx context.Context, l *Lab) error {
		d := &demo{site: &site{Lab: l, narrator: newNarrator(out, quiet), asking: callEvery}}
		return d.run(ctx)
	}
}

// demo is a running demonstration.
type demo struct {
	*site
	sip      *sipClient // nil: LIM 1 has no SIP server
	rows     []*measurement
	measured time.Time // end of the last measurement
}

func (d *demo) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"building the lab", d.build},
		{"making the system", d.makeSystem},
		{"adding a SIP server", d.addKamailio},
		{"connecting the client", d.connectClient},
		{"creating the cluster", d.createCluster},
		{"backing data up", d.backUp},
		{"cutting the power", d.loseServer},
		{"booting the server again", d.heal},
		{"falling back", d.fallBack},
		{"synchronising", d.synchronise},
	} {
		if err := within(ctx, demoPatience, step.run); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return d.conclude()
}

// within runs a step with its time limit.
func within(ctx context.Context, limit time.Duration, step func(context.Context) error) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fault.New(fault.Unknown, "", "not done within %s", limit))
	defer cancel()
	return step(limited)
}

// createCluster turns the old bases into aliases while a client uses them.
func (d *demo) createCluster(ctx context.Context) error {
	d.measured = time.Now()
	return d.measure(ctx, &measurement{event: "cluster created", last: "srv1"}, func(ctx context.Context) error {
		if err := d.create(ctx, demoFailoverAfter); err != nil {
			return err
		}
		return d.mx(ctx, d.standby, "list")
	})
}

// backUp makes a data version of each LIM and copies it to the standby.
func (d *demo) backUp(ctx context.Context) error {
	if err := d.backUpAll(ctx); err != nil {
		return err
	}
	if err := d.mx(ctx, d.standby, "sync", "c1"); err != nil {
		return err
	}
	return d.mx(ctx, d.standby, "xdata", "list")
}

// loseServer cuts the power of srv1.
func (d *demo) loseServer(ctx context.Context) error {
	m := &measurement{event: "power cut of srv1", last: "sb1", bound: demoFailoverAfter + demoTakeover}
	if err := d.measure(ctx, m, d.cutPower); err != nil {
		return err
	}
	if err := awaitLIM(ctx, d.standby, 1, "runs on sb1", runsOn("sb1")); err != nil {
		return err
	}
	if err := d.awaitSIP(ctx, "sb1"); err != nil {
		return err
	}
	return d.mx(ctx, d.standby, "status")
}

// heal switches srv1 on again; LIM 1 stays on the standby.
func (d *demo) heal(ctx context.Context) error {
	return d.measure(ctx, &measurement{event: "srv1 boots again", last: "sb1"}, func(ctx context.Context) error {
		d.say("srv1 gets its power back and boots, with %s as its base", d.srv1.Base())
		if err := d.srv1.Boot(ctx); err != nil {
			return err
		}
		if err := d.startAgent(ctx, d.srv1); err != nil {
			return err
		}
		return awaitLIM(ctx, d.standby, 1, "is ready to fall back", fallbackReady)
	})
}

// fallBack orders LIM 1 back to srv1.
func (d *demo) fallBack(ctx context.Context) error {
	// A planned move must not take longer than a failure.
	m := &measurement{event: "fallback to srv1", last: "srv1", bound: demoFailoverAfter + demoTakeover}
	return d.measure(ctx, m, func(ctx context.Context) error {
		began := time.Now()
		if err := d.mx(ctx, d.standby, "fallback", "1", "--wait"); err != nil {
			return err
		}
		if err := d.caller.WaitAnswer(ctx, "srv1", began); err != nil {
			return err
		}
		return d.awaitSIP(ctx, "srv1")
	})
}

// synchronise checks that nothing is left to copy.
func (d *demo) synchronise(ctx context.Context) error {
	return d.measure(ctx, &measurement{event: "all in sync", last: "srv1"}, func(ctx context.Context) error {
		if err := d.mx(ctx, d.standby, "sync", "c1"); err != nil {
			return err
		}
		if err := awaitLIM(ctx, d.standby, 1, "is in sync on srv1", inSyncOn("srv1")); err != nil {
			return err
		}
		return d.mx(ctx, d.standby, "status")
	})
}

// measure runs an event, and adds to the table what client and ARP saw since the previous
// measurement, without a gap.
func (d *demo) measure(ctx context.Context, m *measurement, event func(context.Context) error) error {
	if err := event(ctx); err != nil {
		return err
	}
	if err := d.watcher.WaitHolder(ctx, d.Server(m.last).MAC); err != nil {
		return err
	}
	// Calls sent before the end are counted.
	if err := d.caller.Settle(ctx); err != nil {
		return err
	}
	from, to := d.measured, time.Now()
	if err := d.caller.Settle(ctx); err != nil {
		return err
	}
	d.measured = to
	m.service, m.holding = d.caller.Between(from, to), d.watcher.Between(from, to)
	for _, mac := range m.holding.By {
		m.holders = append(m.holders, d.serverOf(mac))
	}
	d.rows = append(d.rows, m)
	d.say("phone: silent for %s, %d of %d calls lost", milliseconds(m.service.Silence), m.service.Lost, m.service.Calls)
	return nil
}

// conclude shows the table, and fails if a row is not right.
func (d *demo) conclude() error {
	d.line("")
	if err := writeTable(d.out, d.rows); err != nil {
		return err
	}
	d.line("")
	bad := slices.DeleteFunc(slices.Clone(d.rows), (*measurement).ok)
	if len(bad) > 0 {
		return fault.New(fault.Failed, "if this machine is busy, run it again when it is not",
			"%d of %d events were not as they should be", len(bad), len(d.rows))
	}
	d.say("all as it should be")
	return nil
}
