package services

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"

	"mxcluster/internal/fault"
)

const (
	busPause   = 50 * time.Millisecond  // before a failed call is repeated; doubled each time
	busLongest = time.Second            // longest such pause
	busLook    = 250 * time.Millisecond // between checks of the connection while a job is waited for
	wordsLimit = time.Second            // until the journal has the output of a unit
	endLimit   = 10 * time.Second       // for the answers of systemd while a unit is ended, without the grace time
)

// busError is an error of the connection to systemd, which says nothing about a unit.
type busError struct{ error }

func (e busError) Unwrap() error { return e.error }

// unseen reports whether an error means that the state of a unit cannot be seen.
func unseen(err error) bool {
	var e busError
	return errors.As(err, &e)
}

// busFaults are errors of the bus itself, without their prefix: systemd is not present at the
// moment, or does not answer.
var busFaults = [...]string{"Disconnected", "NoReply", "NoServer", "NameHasNoOwner", "ServiceUnknown", "Timeout", "TimedOut", "LimitsExceeded", "NoMemory", "UnknownObject", "UnknownMethod", "UnknownInterface"}

// overBus turns the error of a call over the bus into a busError, unless it comes from systemd.
func overBus(err error) error {
	var answer bus.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return busError{err} // lost connection, or no answer in time
	}
	name, ofBus := strings.CutPrefix(answer.Name, "org.freedesktop.DBus.Error.")
	if ofBus && (slices.Contains(busFaults[:], name) || strings.HasPrefix(name, "Spawn.")) {
		return busError{err}
	}
	return err
}

// untilHeard calls f repeatedly until it reached systemd or the time is over.
func (s Systemd) untilHeard(ctx, limited context.Context, f func(context.Context, *dbus.Conn) error) error {
	if s.Dial == nil && !runsSystemd() {
		return noProgramError{busError{errors.New("this server runs without it")}}
	}
	reached := false
	for pause := busPause; ; pause = min(2*pause, busLongest) {
		err := s.once(ctx, limited, f, &reached)
		if !unseen(err) {
			return err
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !reached {
				return noProgramError{err}
			}
			return err
		case <-time.After(pause):
		}
	}
}

// once calls f on a new connection.
func (s Systemd) once(ctx, limited context.Context, f func(context.Context, *dbus.Conn) error, reached *bool) error {
	dial := s.Dial
	if dial == nil {
		dial = dbus.NewWithContext
	}
	// The context ends the connection, which is still needed to cancel a job.
	c, err := dial(context.WithoutCancel(ctx))
	if err != nil {
		return busError{err}
	}
	defer c.Close()
	*reached = true
	return f(limited, c)
}

// Runs reports whether systemd runs this server.
func (s Systemd) Runs() bool { return s.Dial != nil || runsSystemd() }

// runsSystemd reports whether systemd runs this server, as sd_booted does.
func runsSystemd() bool {
	info, err := os.Stat(defaultDropIns)
	return err == nil && info.IsDir()
}

// Able checks that systemd knows the unit and could start it. If systemd does not answer, nothing
// is known against it.
func (u *unit) Able(ctx context.Context, env Env) error {
	name := env.fill(u.name)
	err := u.with(ctx, "start", u.opt.CheckTimeout, func(ctx context.Context, c *dbus.Conn) error {
		s, err := u.loaded(ctx, c, name)
		if err != nil || s.running() {
			return err
		}
		if err := lasting(ctx, c, name); err != nil {
			return err
		}
		return u.permitted(ctx, c, name)
	})
	if neverRan(err) && (!unseen(err) || u.opt.Systemd.Dial == nil && !runsSystemd()) {
		return err
	}
	return nil
}

// permitted checks that this process may start the unit and write its environment, as root may. For
// another user it tries a start of an invalid kind: systemd asks polkit first, and then refuses it.
func (u *unit) permitted(ctx context.Context, c *dbus.Conn, name string) error {
	if u.opt.OwnUser == "" {
		return nil
	}
	if strings.HasSuffix(name, ".service") {
		if _, err := u.asks(ctx, c, name); err != nil {
			return err
		}
	}
	_, err := c.StartUnitContext(ctx, name, "triggering", nil)
	var answer bus.Error
	if errors.As(err, &answer) && deniedBy(answer) {
		return err
	}
	return nil
}

// lasting refuses a unit that ends as soon as it was started: it would count as stopped, and be
// started again and again.
func lasting(ctx context.Context, c *dbus.Conn, name string) error {
	if !strings.HasSuffix(name, ".service") {
		return nil
	}
	all, err := c.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		return overBus(err)
	}
	if stays, _ := all["RemainAfterExit"].(bool); all["Type"] != "oneshot" || stays {
		return nil
	}
	return noProgramError{fault.New(fault.Refused, "let it count as running until it is stopped: RemainAfterExit=yes under [Service], with 'systemctl edit "+name+"'",
		"unit %s is of Type=oneshot without RemainAfterExit=yes: it is over as soon as it has started, and would count as stopped", name)}
}

// failure describes how a failed unit ended, with its last output.
func (u *unit) failure(ctx context.Context, c *dbus.Conn, name string, run []byte) string {
	all, err := c.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		return "(result unknown)"
	}
	result, _ := all["Result"].(string)
	if status, ok := all["ExecMainStatus"].(int32); ok && status != 0 {
		result += fmt.Sprintf(", status %d", status)
	}
	said, _ := all["StatusText"].(string)
	if words := u.lastWords(ctx, run); words != "" {
		said = words
	}
	if said == "" {
		return "(" + result + ")"
	}
	return fmt.Sprintf("(%s): %s", result, said)
}

// lastWords returns the last output of a run of a unit, from the journal; "": unknown.
func (u *unit) lastWords(ctx context.Context, run []byte) string {
	if len(run) == 0 || u.opt.Systemd.Dial != nil && u.opt.Systemd.Journal == "" {
		return ""
	}
	limited, cancel := context.WithTimeout(ctx, wordsLimit)
	defer cancel()
	journal := u.opt.Systemd.Journal
	if journal == "" {
		journal = "journalctl"
	}
	cmd := exec.Command(journal, "--quiet", "--no-pager", "--output=cat", "--lines=5", "_SYSTEMD_INVOCATION_ID="+hex.EncodeToString(run))
	cmd.Env = inherited(os.Environ())
	said, err := runGroup(limited, cmd, 0)
	if err != nil {
		return ""
	}
	return said
}
