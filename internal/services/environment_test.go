package services

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Nothing that a service manager gave to the agent reaches the software, and no
// descriptor that the agent inherited.
func TestNothingOfTheAgentReachesSoftware(t *testing.T) {
	given := []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID", "MAINPID",
		"SYSTEMD_EXEC_PID", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CONFIGURATION_DIRECTORY", "MEMORY_PRESSURE_WATCH"}
	for _, name := range given {
		t.Setenv(name, "of the agent")
	}
	t.Setenv("LISTENER", "of the site")
	inheritable(t)
	s, dir := newScript(t, within(10*time.Second), map[string]string{"start": "env >env; ls -l /proc/self/fd >fds", "status": "exit 3"})
	must(t, s.Start(t.Context(), env))
	raw, err := os.ReadFile(dir + "/env")
	must(t, err)
	if strings.Contains(string(raw), "of the agent") || !strings.Contains(string(raw), "LISTENER=of the site\n") || !strings.Contains(string(raw), "MXCLUSTER_LIM=3\n") {
		t.Errorf("the software's environment:\n%s", raw)
	}
	fds, err := os.ReadFile(dir + "/fds")
	must(t, err)
	if strings.Contains(string(fds), "inherited") {
		t.Errorf("the software's descriptors:\n%s", fds)
	}
	if got := inherited([]string{"A=1", "LISTEN_FDS=1", "WATCHDOG=2"}); !slices.Equal(got, []string{"A=1", "WATCHDOG=2"}) {
		t.Errorf("inherited %q", got)
	}
}
