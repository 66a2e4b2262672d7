package main

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd how the agent is. Without one that waits for it, it does
// nothing.
func notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}

// watchdog is the time within which systemd wants a sign of life; 0: it wants none.
func watchdog() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0 // a variable that makes no sense is as good as none
	}
	return interval
}
