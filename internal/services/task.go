package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"mxcluster/internal/fault"
)

// Task runs a unit of Type=oneshot to its end and returns its exit status. When ctx ends first, the
// unit is stopped, and killed after grace.
func (s Systemd) Task(ctx context.Context, name string, grace time.Duration) (status int, err error) {
	reached := false
	err = s.once(ctx, ctx, func(ctx context.Context, c *dbus.Conn) error {
		done := make(chan string, 1)
		if _, err := c.StartUnitContext(ctx, name, "replace", done); err != nil {
			return fault.Wrap(err, fault.NotPermitted, "install it, and let this user start it by "+polkitRules, "starting it")
		}
		result, err := waitJob(ctx, c, done)
		if ctx.Err() != nil && result == "" {
			_ = endUnit(ctx, c, name, grace) // that ctx ended is the error
		}
		if err != nil || result == jobDone {
			return err
		}
		all, err := c.GetUnitTypePropertiesContext(ctx, name, "Service")
		if err != nil {
			return overBus(err)
		}
		code, _ := all["ExecMainCode"].(int32)
		ended, _ := all["ExecMainStatus"].(int32)
		if code != childExited || ended == 0 { // never started, or ended by a signal
			return fmt.Errorf("systemd says: %s", result)
		}
		status = int(ended)
		_ = c.ResetFailedUnitContext(ctx, name) // the result is known
		return nil
	}, &reached)
	return status, err
}

// waitJob waits for the end of a job, or of the connection that reports it.
func waitJob(ctx context.Context, c *dbus.Conn, done <-chan string) (result string, err error) {
	look := time.NewTicker(busLook)
	defer look.Stop()
	for {
		select {
		case result := <-done:
			return result, nil
		case <-look.C:
			if !c.Connected() {
				return "", busError{errors.New("the connection to systemd was lost")}
			}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
