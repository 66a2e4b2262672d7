package services

import (
	"slices"
	"strings"
)

// managerVariables are what a service manager gives to the agent alone: software that
// took them for its own would speak to the manager in the agent's name, take its
// sockets, or write into its folders. A name that ends in _ stands for all that begin so.
var managerVariables = [...]string{
	"NOTIFY_SOCKET", "WATCHDOG_", "JOURNAL_STREAM", "LISTEN_", "INVOCATION_ID", "MAINPID", "MANAGERPID", "SYSTEMD_EXEC_PID",
	"FDSTORE", "CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_", "TRIGGER_", "EXIT_CODE", "EXIT_STATUS", "SERVICE_RESULT",
	"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
}

// unitVariables are what systemd tells every program of a unit about that unit.
var unitVariables = [...]string{"INVOCATION_ID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"}

// inherited returns of an environment what a LIM's software may have.
func inherited(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(managerVariables[:], func(m string) bool {
			return name == m || strings.HasSuffix(m, "_") && strings.HasPrefix(name, m)
		})
	})
}
