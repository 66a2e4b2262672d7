package services

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"
)

// agentUnit is the unit of the agent.
const agentUnit = "mxcluster-agent.service"

const (
	verbStart  = "start"
	verbReload = "reload"
)

// startsPrograms reports whether programs of services are started by systemd, each call in a
// transient unit, so that what a call leaves running is neither in the agent's control group nor in
// its sandbox. This is so if systemd runs this server, and not only a network namespace around this
// process.
func (s Systemd) startsPrograms() bool {
	return s.Dial != nil || !s.unused && os.Geteuid() == 0 && runsSystemd() && besideFirst()
}

// besideFirst reports whether process 1 is a systemd in the network namespace of this process.
func besideFirst() bool {
	if name, err := os.ReadFile("/proc/1/comm"); err != nil || strings.TrimSpace(string(name)) != "systemd" {
		return false
	}
	first, err := os.Stat("/proc/1/ns/net")
	if os.IsPermission(err) {
		return true // without CAP_SYS_PTRACE, as in a sandbox of systemd, it cannot be seen
	}
	own, ownErr := os.Stat("/proc/self/ns/net")
	return err == nil && ownErr == nil && os.SameFile(first, own)
}

// unitCall is one call of a program as a transient unit. The unit exists while any process that the
// call started does.
type unitCall struct {
	name       string
	properties []dbus.Property
	grace      time.Duration
	begun      bool // systemd was asked to start it, and may have done so
}

// runUnit is runGroup by systemd: it returns the last lines of the program's output.
func (p *program) runUnit(ctx, limited context.Context, env Env, c programCall, vars []string) (string, error) {
	file, err := writeEnvironment(p.opt.RunDir, vars)
	if err != nil {
		return "", noProgramError{fmt.Errorf("handing over its environment: %w", err)}
	}
	defer os.Remove(file)
	out, err := newOutput()
	if err != nil {
		return "", noProgramError{fmt.Errorf("preparing its output: %w", err)}
	}
	errs, err := newOutput()
	if err != nil {
		out.finish()
		return "", noProgramError{fmt.Errorf("preparing its output: %w", err)}
	}
	for {
		u := p.newUnitCall(env, c, file, out, errs)
		err = p.opt.Systemd.untilHeard(ctx, limited, u.do)
		if err != nil && !u.begun {
			err = noProgramError{err}
		}
		if !c.asks || !lost(err) || limited.Err() != nil {
			break
		}
	}
	printed := out.finish()
	if said := errs.finish(); said != "" {
		printed = said
	}
	return printed, err
}

// newUnitCall returns the unit for a call: with the agent's privileges, and without ending what is
// left running. Calls that start something are in the LIM's slice; others are not, so that a LIM
// which has used up its limits can still be stopped. During a shutdown of the system, services can
// still be stopped.
func (p *program) newUnitCall(env Env, c programCall, file string, out, errs *output) *unitCall {
	u := &unitCall{name: p.owner(env).units + c.verb + "-" + uniqueName() + ".service", grace: p.opt.Grace}
	set := func(name string, value any) {
		u.properties = append(u.properties, dbus.Property{Name: name, Value: bus.MakeVariant(value)})
	}
	set("Description", fmt.Sprintf("mxcluster: LIM %d, %s of %s", env.LIM, c.verb, p.spec))
	// Systemd would treat a failed exit status as a reason to end what is left running.
	u.properties = append(u.properties, dbus.PropExecStart(c.command(), true))
	set("EnvironmentFiles", []environmentFile{{Path: file}})
	set("UnsetEnvironment", unitVariables[:])
	set("StandardOutputFileDescriptor", bus.UnixFD(out.child.Fd()))
	set("StandardErrorFileDescriptor", bus.UnixFD(errs.child.Fd()))
	// The program ends after it has started what stays, and none of that is the main process.
	set("Type", "forking")
	set("GuessMainPID", false)
	set("CollectMode", "inactive-or-failed")
	set("AddRef", true) // kept until its exit status was read
	set("IgnoreSIGPIPE", false)
	set("TasksMax", uint64(math.MaxUint64))
	set("OOMPolicy", "continue")
	set("TimeoutStopUSec", microseconds(p.opt.StopTimeout))
	set("TimeoutStartUSec", microseconds(c.limit+2*p.opt.Grace+abandoned))
	if c.verb == verbStart || c.verb == verbReload {
		set("Slice", limSlice(env.LIM))
		set("Before", []string{agentUnit}) // at a shutdown the agent stops the software in order before systemd does
		set("IgnoreOnIsolate", true)
		return u
	}
	set("DefaultDependencies", false)
	set("LogLevelMax", int32(hideStarts)) // health checks must not fill the journal
	return u
}

const (
	abandoned  = 10 * time.Second // a call whose caller is gone is ended this long after its limit
	hideStarts = 5                // syslog level "notice": systemd's own messages about starts are below it
)

// limSlice returns the slice for a LIM's software in transient units: the place for resource
// limits.
func limSlice(lim int) string { return fmt.Sprintf("mxcluster-lim%d.slice", lim) }

func microseconds(d time.Duration) uint64 { return uint64(d.Microseconds()) }

// uniqueName returns a random name.
func uniqueName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// environmentFile is an element of EnvironmentFiles.
type environmentFile struct {
	Path     string
	Optional bool
}

// ownExitStatus is the first status that systemd uses for its own failures to run a program
// (systemd.exec(5), process exit codes).
const ownExitStatus = 200

// do starts the call, unless that was done over an earlier connection, and waits for its end. When
// ctx ends, all processes of the call are ended.
func (u *unitCall) do(ctx context.Context, c *dbus.Conn) error {
	done := make(chan string, 1)
	if !u.begun {
		_, err := c.StartTransientUnitContext(ctx, u.name, "replace", u.properties, done)
		u.begun = err == nil || unanswered(err)
		switch {
		case err != nil && u.begun && ctx.Err() != nil:
			return u.giveUp(ctx, c)
		case err != nil:
			return overBus(err)
		}
	}
	look := time.NewTicker(busLook)
	defer look.Stop()
	for {
		select {
		case <-done:
			return u.result(ctx, c)
		case <-look.C:
			switch over, err := u.over(ctx, c); {
			case err != nil && ctx.Err() != nil: // the limit passed within the question
				return u.giveUp(ctx, c)
			case err != nil:
				return err
			case over:
				return u.result(ctx, c)
			}
		case <-ctx.Done():
			return u.giveUp(ctx, c)
		}
	}
}

// giveUp ends all processes of the call after ctx has ended, and returns why it has.
func (u *unitCall) giveUp(ctx context.Context, c *dbus.Conn) error {
	if err := overBus(endUnit(ctx, c, u.name, u.grace)); unseen(err) {
		return err
	}
	return context.Cause(ctx)
}

// unanswered reports whether a failed call over the bus may have been carried out.
func unanswered(err error) bool {
	var answer bus.Error
	if !errors.As(err, &answer) {
		return true
	}
	name, _ := strings.CutPrefix(answer.Name, "org.freedesktop.DBus.Error.")
	return slices.Contains([]string{"NoReply", "Timeout", "TimedOut", "Disconnected"}, name)
}

// over checks whether the program has ended, as the signal about it may be lost when systemd or the
// bus restarts.
func (u *unitCall) over(ctx context.Context, c *dbus.Conn) (bool, error) {
	if !c.Connected() {
		return false, busError{errors.New("the connection to systemd was lost")}
	}
	active, err := c.GetUnitPropertyContext(ctx, u.name, "ActiveState")
	if err != nil {
		return false, overBus(err)
	}
	return active.Value.Value() != "activating", nil
}

// Codes of waitid(2) by which systemd reports the end of a process.
const (
	childExited = 1
	childKilled = 2
	childDumped = 3
)

// result returns how the program ended.
func (u *unitCall) result(ctx context.Context, c *dbus.Conn) error {
	p, err := c.GetServicePropertyContext(ctx, u.name, "ExecStart")
	if err != nil {
		return overBus(err)
	}
	var runs []struct {
		Path                               string
		Args                               []string
		Ignore                             bool
		Began, BeganMono, Ended, EndedMono uint64
		PID                                uint32
		Code, Status                       int32
	}
	if err := p.Value.Store(&runs); err != nil || len(runs) != 1 {
		return lostError{u.name}
	}
	switch run := runs[0]; run.Code {
	case childExited:
		if run.Status == 0 {
			return nil
		}
		return exitError{status: int(run.Status)}
	case childKilled, childDumped:
		return exitError{signal: int(run.Status)}
	}
	return fmt.Errorf("systemd could not run it; 'journalctl -u %s' may say why", u.name)
}

// lostError says that the result of a call is lost.
type lostError struct{ unit string }

func (e lostError) Error() string {
	return "how unit " + e.unit + " ended was lost while systemd or its bus started anew"
}

// lost reports whether the result of a call is lost.
func lost(err error) bool {
	var l lostError
	return errors.As(err, &l)
}

// exitError describes a program that did not succeed.
type exitError struct{ status, signal int }

func (e exitError) Error() string {
	switch {
	case e.signal > 0:
		return "signal: " + syscall.Signal(e.signal).String()
	case e.status >= ownExitStatus:
		return fmt.Sprintf("exit status %d (by which systemd says that it could not run it)", e.status)
	}
	return fmt.Sprintf("exit status %d", e.status)
}

// ExitCode returns -1 if a signal ended the program, like os/exec.
func (e exitError) ExitCode() int {
	if e.signal > 0 {
		return -1
	}
	return e.status
}

// writeEnvironment writes variables to a file that only root can read: they may be secrets, and
// properties of units are visible to every user.
func writeEnvironment(dir string, vars []string) (string, error) {
	if dir != "" { // the agent's unit creates it; without the agent it may be missing
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	f, err := os.CreateTemp(dir, "call-*.env")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(environmentText(vars))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// environmentText formats variables for EnvironmentFile= (systemd.exec(5)). Variables that would
// make systemd refuse the whole file are left out.
func environmentText(vars []string) string {
	var text strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if variableName(name) && utf8.ValidString(value) {
			fmt.Fprintf(&text, "%s=\"%s\"\n", name, escape.Replace(value))
		}
	}
	return text.String()
}
