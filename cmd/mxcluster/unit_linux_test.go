package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

// systemdAnalyze finds the program by which systemd judges units.
func systemdAnalyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("systemd is not installed")
	}
	return path
}

// packaged is the text of a unit of the package, with its drop-ins and without [Install].
func packaged(t *testing.T, unit string, dropIns ...string) string {
	t.Helper()
	text, _, _ := strings.Cut(read(t, "../../packaging/systemd/"+unit), "[Install]")
	for _, name := range dropIns {
		text += read(t, "../../packaging/systemd/"+name)
	}
	return text
}

// The agent is exposed less than systemd calls "medium", with the drop-ins for servers whose
// software is units alone, too; the unit that runs at each boot less than half of that.
func TestExposure(t *testing.T) {
	analyze := systemdAnalyze(t)
	const agent, sync, deny = "mxcluster-agent.service", "mxcluster-sync@.service", "mxcluster-deny.service"
	for _, c := range []struct {
		unit, text string
		tenths     int
	}{
		{agent, packaged(t, agent), 40},
		{agent, packaged(t, agent, "systemd-only.conf"), 40},
		{agent, packaged(t, agent, "own-user.conf"), 30},
		{sync, packaged(t, sync), 30},
		{deny, packaged(t, deny), 20},
		{deny, packaged(t, deny, "own-user-deny.conf"), 20},
	} {
		here := filepath.Join(t.TempDir(), c.unit)
		write(t, here, c.text)
		out, err := exec.Command(analyze, "security", "--offline=yes", fmt.Sprintf("--threshold=%d", c.tenths), here).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, c.text, out)
		}
	}
}

// The units are free of mistakes, as systemd itself judges.
func TestUnitsAreValid(t *testing.T) {
	verify := systemdAnalyze(t)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob("../../packaging/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		here := filepath.Join(t.TempDir(), filepath.Base(unit))
		write(t, here, strings.ReplaceAll(read(t, unit), "/usr/bin/mxcluster", program))
		if out, err := exec.Command(verify, "verify", "--man=no", "--recursive-errors=no", here).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// What no restart makes better ends the agent with a code after which it is not started
// again: each line is an agent that cannot begin.
func TestAgentThatNoRestartMakesBetter(t *testing.T) {
	unit := read(t, "../../packaging/systemd/mxcluster-agent.service")
	_, rest, _ := strings.Cut(unit, "RestartPreventExitStatus=")
	prevented := strings.Fields(strings.SplitN(rest, "\n", 2)[0])
	for name, c := range map[string]struct {
		spoil func(s *site)
		line  string
		code  fault.Code
		says  string
	}{
		"unknown flag":        {func(*site) {}, "agent run --nonsense", fault.Usage, "nonsense"},
		"unknown server":      {func(s *site) { write(t, s.path("etc/mxcluster.yaml"), "server: nobody\n") }, "agent run", fault.NotFound, "nobody"},
		"wrong setting":       {func(s *site) { write(t, s.path("etc/mxcluster.yaml"), "gossip:\n  port: many\n") }, "agent run", fault.Invalid, "gossip.port"},
		"unreadable document": {func(s *site) { write(t, s.store.Path, "nonsense\n") }, "agent run", fault.Invalid, "cluster.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir(), system(2, 2))
			key, err := settings.NewKey(rand.Reader, time.Now())
			if err == nil {
				err = settings.WriteKeys(s.path("etc/gossip.key"), settings.Keys{key})
			}
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(s)
			code, out := finish(t, s.command(c.line))
			if code != int(c.code) || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.says, out)
			}
			if !strings.Contains(" "+strings.Join(prevented, " ")+" ", fmt.Sprintf(" %d ", c.code)) {
				t.Errorf("the unit starts the agent again after exit code %d", c.code)
			}
		})
	}
}
