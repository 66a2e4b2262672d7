package main

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// shutdownAnswer is how long systemd may take to say what it is doing.
const shutdownAnswer = 3 * time.Second

// shuttingDown tells whether this system is on its way down: systemd says
// "stopping" from the moment that it has the order. Without systemd, or without an
// answer, it is not, so that the LIMs go on as they do when the agent alone stops.
func shuttingDown(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, shutdownAnswer)
	defer cancel()
	// The exit code is not 0 in any state but "running"; the word is what counts.
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output()
	return strings.TrimSpace(string(out)) == "stopping"
}
