//go:build !linux

package postgres

import "syscall"

// attributes are those of a program that is run. Management systems run on Linux alone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
