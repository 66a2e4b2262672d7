//go:build !linux

package services

import "os/exec"

// StartPlain starts a program.
func StartPlain(cmd *exec.Cmd) error { return cmd.Start() }
