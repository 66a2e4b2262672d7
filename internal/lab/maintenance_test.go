//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/alarms"
)

// maintenanceEnv, if set, says how often people work on the servers; each time takes half a minute.
const maintenanceEnv = "MXCLUSTER_TEST_MAINTENANCE"

func TestNothingIsToldOfMaintenance(t *testing.T) {
	if os.Getenv(maintenanceEnv) == "" {
		t.Logf("on demand, by %s: virtual time has it (internal/agent)", maintenanceEnv)
		return
	}
	runScenario(t, "maintenance", program(t))
}

// maintenanceScenario: all agents are upgraded, a server is drained and rebooted, and a cable is out
// for a moment, again and again. No sink is told anything; of a standby that loses its power each is.
func maintenanceScenario(ctx context.Context, l *Lab) error {
	rounds, err := strconv.Atoi(os.Getenv(maintenanceEnv))
	if err != nil {
		return err
	}
	x := &ears{site: newEmptySite(l)}
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, func(context.Context) error { return x.listen(ctx) }, func(ctx context.Context) error { return x.restart(ctx, x.srv1, x.srv2, x.standby) },
		func(ctx context.Context) error { return x.create(ctx, maintenanceLimit) }, x.backUpAll} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	if err := wait(ctx, 5*time.Second); err != nil { // what the creation has told
		return err
	}
	if err := x.takeFiles(); err != nil {
		return err
	}
	x.forget()
	for i := range rounds {
		if err := within(ctx, 4*testStep, x.maintain); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		if err := x.takeFiles(); err != nil {
			return err
		}
		x.mu.Lock()
		told := slices.Clone(x.heard)
		x.mu.Unlock()
		if len(told) > 0 {
			x.tellWhy(ctx)
			return fmt.Errorf("round %d: sinks were told: %v", i+1, told)
		}
	}
	i := slices.IndexFunc(x.causes(), func(c alarmCause) bool { return c.Name == alarms.StandbyOutOfOrder })
	if err := within(ctx, 4*testStep, func(ctx context.Context) error { return x.play(ctx, x.causes()[i]) }); err != nil {
		return err
	}
	row("upgrade, drained reboot, cable out for a moment", fmt.Sprintf("%d times", rounds), "no sink was told anything")
	return nil
}

// maintenanceLimit is the silence limit of the cluster.
const maintenanceLimit = 2 * time.Second

// maintain is what people do in a night.
func (x *ears) maintain(ctx context.Context) error {
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} { // an upgrade: the unit is restarted
		if err := s.SignalAgent(ctx, unix.SIGTERM); err != nil {
			return err
		}
		if err := x.startAgent(ctx, s); err != nil {
			return err
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
	for _, do := range []func(context.Context) error{
		func(ctx context.Context) error {
			return x.mx(ctx, x.srv1, "server", "drain", "srv2", "--for", "1h", "--reason", "new kernel", "--wait")
		},
		func(ctx context.Context) error { return x.await(ctx, 2, "sb1") },
		func(context.Context) error { return x.srv2.PowerCut() },
		func(ctx context.Context) error { return wait(ctx, 2*maintenanceLimit) },
		func(ctx context.Context) error { return x.boot(ctx, x.srv2) },
		func(ctx context.Context) error { return x.mx(ctx, x.srv1, "server", "undrain", "srv2") },
		func(ctx context.Context) error {
			return awaitLIM(ctx, x.standby, 2, "is ready to fall back", fallbackReady)
		},
		func(ctx context.Context) error { return x.mx(ctx, x.standby, "fallback", "2", "--wait") },
		func(ctx context.Context) error { return x.await(ctx, 2, "srv2") },
		func(context.Context) error { return x.srv2.SetCable(false) },
		func(ctx context.Context) error { return wait(ctx, maintenanceLimit/4) },
		func(context.Context) error { return x.srv2.SetCable(true) },
		func(ctx context.Context) error { return wait(ctx, 2*maintenanceLimit) },
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// forget has what was heard so far not count.
func (x *ears) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard = nil
}
