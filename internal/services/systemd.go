package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"
	"github.com/google/renameio/v2"

	"mxcluster/internal/fault"
)

// unit is a systemd: service: a unit of this server's systemd, driven over D-Bus.
// Its processes learn which LIM they are from a drop-in, which systemd forgets
// when the server starts anew.
type unit struct {
	spec string
	name string // with its suffix, {lim} and {alias} unfilled
	opt  Options
}

// Systemd is how this server's systemd is reached. The zero value means the
// system's own.
type Systemd struct {
	Dial    func(context.Context) (*dbus.Conn, error) // nil: over the system bus, or systemd's own socket
	DropIns string                                    // folder for UNIT.d; "": /run/systemd/system
	unused  bool                                      // it starts no programs, whatever runs this server: for tests
	Journal string                                    // the program that prints the journal; "": journalctl, of the system alone
}

// polkitRules name the units that the agent's own user may manage.
const polkitRules = "/etc/polkit-1/rules.d/50-mxcluster.rules"

const (
	defaultDropIns = "/run/systemd/system"
	dropInFile     = "50-mxcluster.conf"
	jobDone        = "done"
)

// unitSuffixes are the types of unit that can be started and stopped.
var unitSuffixes = [...]string{".service", ".target", ".socket", ".timer", ".mount", ".path", ".slice", ".scope", ".swap", ".automount"}

// newUnit returns the service of a unit; a name without a type is a .service, as
// for systemctl.
func newUnit(spec, name string, opt Options) *unit {
	known := false
	for _, s := range unitSuffixes {
		known = known || strings.HasSuffix(name, s)
	}
	if !known {
		name += ".service"
	}
	return &unit{spec: spec, name: name, opt: opt}
}

// unitState is what systemd says of a unit.
type unitState struct {
	load, active, sub string
	failure           string // of a failed one: how it ended, and what it said last
}

// Start has systemd start the unit, and waits until it says that it is up.
func (u *unit) Start(ctx context.Context, env Env) error {
	return u.with(ctx, "start", u.opt.StartTimeout, func(ctx context.Context, c *dbus.Conn) error {
		name := env.fill(u.name)
		s, err := u.loaded(ctx, c, name)
		if err != nil || s.running() {
			return err
		}
		if err := lasting(ctx, c, name); err != nil {
			return err
		}
		if err := u.tell(ctx, c, name, env); err != nil {
			return err
		}
		if err := u.job(ctx, c, name, c.StartUnitContext); err != nil {
			return err
		}
		if s, err = u.loaded(ctx, c, name); err == nil && s.active == "failed" {
			err = fmt.Errorf("it failed at once %s", s.failure)
		}
		return err
	})
}

// Stop has systemd stop the unit and forget that it failed.
func (u *unit) Stop(ctx context.Context, env Env) error {
	return u.with(ctx, "stop", u.opt.StopTimeout, func(ctx context.Context, c *dbus.Conn) error {
		name := env.fill(u.name)
		if _, err := u.loaded(ctx, c, name); err != nil {
			return err
		}
		err := u.job(ctx, c, name, c.StopUnitContext)
		if err == nil {
			_ = c.ResetFailedUnitContext(ctx, name) // it need not have failed
		}
		return err
	})
}

// Check maps the unit's active state. Where systemd does not say, nothing is known of
// the unit: it may well run.
func (u *unit) Check(ctx context.Context, env Env) (State, error) {
	state := Failed
	err := u.with(ctx, "check", u.opt.CheckTimeout, func(ctx context.Context, c *dbus.Conn) error {
		s, err := u.loaded(ctx, c, env.fill(u.name))
		switch {
		case err != nil:
		case s.running():
			state = Running
		case s.active == "inactive":
			state = Stopped
		case s.active == "failed":
			err = fmt.Errorf("it failed %s", s.failure)
		default:
			err = fmt.Errorf("it is %s (%s)", s.active, s.sub)
		}
		return err
	})
	if unseen(err) {
		return Unknown, err
	}
	return state, err
}

// Reload tells the unit its role and data anew and has systemd reload it; one
// that cannot reload is restarted.
func (u *unit) Reload(ctx context.Context, env Env) error {
	return u.with(ctx, "reload", u.opt.StartTimeout, func(ctx context.Context, c *dbus.Conn) error {
		name := env.fill(u.name)
		if _, err := u.loaded(ctx, c, name); err != nil {
			return err
		}
		if err := u.tell(ctx, c, name, env); err != nil {
			return err
		}
		return u.job(ctx, c, name, c.ReloadOrRestartUnitContext)
	})
}

func (u *unit) String() string { return u.spec }

func (s unitState) running() bool { return s.active == "active" || s.active == "reloading" }

// with runs one call within its time limit, on a connection of its own. Where systemd or
// the bus to it is started anew meanwhile, the call is made again: all may be.
func (u *unit) with(ctx context.Context, verb string, limit time.Duration, f func(context.Context, *dbus.Conn) error) error {
	what := verb + " service " + u.spec
	limited, cancel := context.WithTimeoutCause(ctx, limit, timeLimit(limit))
	defer cancel()
	began := time.Now()
	err := u.opt.Systemd.untilHeard(ctx, limited, f)
	u.opt.Log.Debug("service called", "service", u.spec, "verb", verb, "took", time.Since(began), "error", err)
	var denied bus.Error
	switch {
	case err == nil:
		return nil
	case unseen(err):
		return fault.Wrap(err, fault.Unreachable, "run this server by systemd, or use exec:PATH", "%s: systemd cannot be reached", what)
	case errors.As(err, &denied) && deniedBy(denied):
		if u.opt.OwnUser == "" {
			return fault.Wrap(err, fault.NotPermitted, "run the agent as root", "%s", what)
		}
		return fmt.Errorf("%s: %w", what, noProgramError{fault.New(fault.NotPermitted, "", "polkit does not let user %s manage it: name the unit in %s", u.opt.OwnUser, polkitRules)})
	case neverRan(err):
		return fmt.Errorf("%s: %w", what, err)
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	return fault.Wrap(err, callCode(ctx), "look at `systemctl status "+u.name+"` and `journalctl -u "+u.name+"`", "%s", what)
}

// deniedBy tells whether systemd, or polkit for it, lets this user not do something.
func deniedBy(answer bus.Error) bool {
	return strings.HasSuffix(answer.Name, ".AccessDenied") || strings.HasSuffix(answer.Name, ".InteractiveAuthorizationRequired")
}

// loaded asks for a unit's state, and refuses one that systemd has no file of.
func (u *unit) loaded(ctx context.Context, c *dbus.Conn, name string) (unitState, error) {
	all, err := c.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return unitState{}, overBus(err)
	}
	text := func(key string) string { s, _ := all[key].(string); return s }
	s := unitState{load: text("LoadState"), active: text("ActiveState"), sub: text("SubState")}
	if s.active == "failed" {
		run, _ := all["InvocationID"].([]byte)
		s.failure = u.failure(ctx, c, name, run)
	}
	switch s.load {
	case "not-found":
		return s, noProgramError{fault.New(fault.NotFound, "install it, or correct the SPEC with 'mxcluster lim set'", "systemd has no unit %s", name)}
	case "masked":
		return s, noProgramError{fault.New(fault.Refused, "run 'systemctl unmask "+name+"'", "unit %s is masked", name)}
	case "error", "bad-setting":
		return s, noProgramError{fault.New(fault.Invalid, "run 'systemd-analyze verify "+name+"'", "systemd cannot read unit %s", name)}
	}
	return s, nil
}

// job has systemd do something to a unit and waits for the end. When ctx ends
// first, the unit is stopped, and after the grace time its processes are killed.
func (u *unit) job(ctx context.Context, c *dbus.Conn, name string, begin func(context.Context, string, string, chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := begin(ctx, name, "replace", done); err != nil {
		var denied bus.Error
		if errors.As(err, &denied) && deniedBy(denied) {
			return noProgramError{err}
		}
		return overBus(err)
	}
	result, err := waitJob(ctx, c, done)
	if ctx.Err() != nil && result == "" {
		_ = endUnit(ctx, c, name, u.opt.Grace) // that ctx ended is the error
	}
	if err != nil || result == jobDone {
		return err
	}
	s, err := u.loaded(ctx, c, name)
	if err == nil && s.failure != "" {
		result += ", it failed " + s.failure
	}
	return fmt.Errorf("systemd says: %s", result)
}

// endUnit stops a unit that hangs, as endGroup does with a program; also after ctx has ended. It
// fails if systemd does not answer.
func endUnit(ctx context.Context, c *dbus.Conn, name string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace+endLimit)
	defer cancel()
	done := make(chan string, 1)
	if _, err := c.StopUnitContext(ctx, name, "replace", done); err != nil {
		return err
	}
	for range 2 {
		limit := time.NewTimer(grace)
		select {
		case <-done:
			limit.Stop()
			return nil
		case <-limit.C:
		}
		_ = c.KillUnitWithTarget(ctx, name, dbus.All, 9) // the job then ends
	}
	return nil
}

// tell puts the LIM's environment where the unit gets it from: into the file of ours that
// the unit names itself, or into a drop-in, which systemd is told to read where it changed.
func (u *unit) tell(ctx context.Context, c *dbus.Conn, name string, env Env) error {
	if !strings.HasSuffix(name, ".service") {
		return nil
	}
	asks, err := u.asks(ctx, c, name)
	if err != nil {
		return err
	}
	if asks {
		if err := writeChanged(u.environmentFile(name), environmentText(env.Variables())); err != nil {
			return fmt.Errorf("telling the unit its LIM: %w", err)
		}
		return nil
	}
	var text strings.Builder
	text.WriteString("# written by mxcluster\n[Service]\n")
	for _, v := range env.Variables() {
		fmt.Fprintf(&text, "Environment=%q\n", strings.ReplaceAll(v, "%", "%%"))
	}
	dropIns := u.opt.Systemd.DropIns
	if dropIns == "" {
		dropIns = defaultDropIns
	}
	dir := filepath.Join(dropIns, name+".d")
	file := filepath.Join(dir, dropInFile)
	if was, err := os.ReadFile(file); err == nil && string(was) == text.String() {
		return nil
	}
	if err := writeChanged(file, text.String()); err != nil {
		return fmt.Errorf("telling the unit its LIM: %w", err)
	}
	if err := c.ReloadContext(ctx); err != nil {
		return fmt.Errorf("having systemd read the unit again: %w", overBus(err))
	}
	return nil
}

// writeChanged replaces a file that everybody may read, unless it says that already.
func writeChanged(file, text string) error {
	if was, err := os.ReadFile(file); err == nil && string(was) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(file, []byte(text), 0o644)
}

// environmentFile is where a unit finds the environment of its LIM if it names that
// itself: EnvironmentFile=-/run/mxcluster/%n.env.
func (u *unit) environmentFile(name string) string { return filepath.Join(u.opt.RunDir, name+".env") }

// asks reports whether a service reads the file with the environment of its LIM. One that
// does not gets a drop-in, which root alone can write: it is refused where this is not root.
func (u *unit) asks(ctx context.Context, c *dbus.Conn, name string) (bool, error) {
	if u.opt.RunDir == "" {
		return false, nil
	}
	all, err := c.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		return false, overBus(err)
	}
	files, _ := all["EnvironmentFiles"].([][]any)
	file := u.environmentFile(name)
	for _, f := range files {
		if len(f) > 0 && f[0] == file {
			return true, nil
		}
	}
	if u.opt.OwnUser == "" {
		return false, nil
	}
	return false, noProgramError{fault.New(fault.Refused, "", "the unit does not read which LIM it is: 'systemctl edit %s', and under [Service] EnvironmentFile=-%s",
		name, filepath.Join(u.opt.RunDir, "%n.env"))}
}
