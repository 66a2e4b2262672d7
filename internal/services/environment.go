package services

import (
	"slices"
	"strings"
)

// managerVariables are variables from a service manager to the agent alone. Software that used them
// would speak to the manager in the agent's name, take its sockets, or write to its folders. A name
// that ends in _ is a prefix.
var managerVariables = [...]string{
	"NOTIFY_SOCKET", "WATCHDOG_", "JOURNAL_STREAM", "LISTEN_", "INVOCATION_ID", "MAINPID", "MANAGERPID", "SYSTEMD_EXEC_PID",
	"FDSTORE", "CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_", "TRIGGER_", "EXIT_CODE", "EXIT_STATUS", "SERVICE_RESULT",
	"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
}

// unitVariables describe the unit to each of its programs.
var unitVariables = [...]string{"INVOCATION_ID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"}

// inherited returns the variables of an environment that a LIM's software may have.
func inherited(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(managerVariables[:], func(m string) bool {
			return name == m || strings.HasSuffix(m, "_") && strings.HasPrefix(name, m)
		})
	})
}
