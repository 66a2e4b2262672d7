package services

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/services/systemdtest"
)

// manager is a systemd of the test's own, and how it is reached.
type manager struct {
	*systemdtest.Manager
	opt Options
}

// newManager starts a systemd with units; their names lack .service.
func newManager(t *testing.T, limit time.Duration, units map[string]string) *manager {
	t.Helper()
	m := &manager{Manager: systemdtest.New(t, units), opt: within(limit)}
	m.opt.Systemd = Systemd{DropIns: m.Root + "/run/systemd/system", Dial: m.Dial}
	return m
}

func (m *manager) service(t *testing.T, spec string) Service {
	t.Helper()
	s, err := Parse(spec, m.opt)
	must(t, err)
	return s
}

// members counts the processes of its namespace, systemd itself left out.
func (m *manager) members(t *testing.T, name string) int {
	t.Helper()
	found := 0
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*/cmdline", m.PID))
	must(t, err)
	for _, p := range all {
		if raw, err := os.ReadFile(p); err == nil && bytes.Contains(raw, []byte(name)) {
			found++
		}
	}
	return found
}

func checks(t *testing.T, s Service, want State, text string) {
	t.Helper()
	state, err := s.Check(t.Context(), env)
	if state != want || (err != nil) != (text != "") || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("%s is %s, %v; want %s, %q", s, state, err, want, text)
	}
}

// Units of a real systemd, over its own wire protocol.
func TestSystemd(t *testing.T) {
	m := newManager(t, 20*time.Second, map[string]string{
		"lim@":  "ExecStart=/bin/sleep 4711\nExecReload=/bin/sh -c 'env >DIR/reload.new; mv DIR/reload.new DIR/reload'",
		"plain": "ExecStart=/bin/sleep 4712",
		"slow":  "ExecStartPre=/bin/sleep 1\nExecStart=/bin/sleep 4713",
		"false": "ExecStart=/bin/false\nType=oneshot\nRemainAfterExit=yes",
		"once":  "ExecStart=/bin/true\nType=oneshot",
		"stays": "ExecStart=/bin/true\nType=oneshot\nRemainAfterExit=yes",
		"exits": "ExecStart=/bin/sh -c 'exit 3'",
		"forks": "Type=forking\nExecStart=/bin/sh -c 'sleep 4714 & setsid sleep 4714 & exit 0'",
		"bad":   "Restart=no",
	})
	t.Run("environment and reload", func(t *testing.T) {
		s := m.service(t, "systemd:lim@{lim}.service")
		checks(t, s, Stopped, "")
		must(t, s.Start(t.Context(), env))
		must(t, s.Start(t.Context(), env))
		checks(t, s, Running, "")
		passive := env
		passive.Role = "passive"
		must(t, s.Reload(t.Context(), passive))
		raw, err := os.ReadFile(m.Dir + "/reload")
		if err != nil || !strings.Contains(string(raw), "MXCLUSTER_ROLE=passive\n") || !strings.Contains(string(raw), "MXCLUSTER_ALIAS=10.0.0.13\n") {
			t.Errorf("%v: the unit's reload saw\n%s", err, raw)
		}
		must(t, s.Stop(t.Context(), env))
		must(t, s.Stop(t.Context(), env))
		checks(t, s, Stopped, "")
	})
	t.Run("slow", func(t *testing.T) {
		s := m.service(t, "systemd:slow")
		must(t, s.Start(t.Context(), env))
		checks(t, s, Running, "")
	})
	t.Run("fails", func(t *testing.T) {
		s := m.service(t, "systemd:false")
		if err := s.Start(t.Context(), env); err == nil || !strings.Contains(err.Error(), "failed, it failed (exit-code, status 1)") {
			t.Errorf("error %v", err)
		}
		checks(t, s, Failed, "it failed (exit-code, status 1)")
		must(t, s.Stop(t.Context(), env))
		checks(t, s, Stopped, "")
	})
	t.Run("exits at once", func(t *testing.T) {
		s := m.service(t, "systemd:exits")
		_ = s.Start(t.Context(), env) // it may have been up for a moment
		poll(t, "the unit to fail", func() bool { state, _ := s.Check(t.Context(), env); return state == Failed })
	})
	t.Run("forks and leaves children", func(t *testing.T) {
		s := m.service(t, "systemd:forks.service")
		must(t, s.Start(t.Context(), env))
		poll(t, "the unit to have two children", func() bool { return m.members(t, "4714") == 2 })
		must(t, s.Stop(t.Context(), env))
		if n := m.members(t, "4714"); n != 0 {
			t.Errorf("%d children are left", n)
		}
	})
	t.Run("last words", func(t *testing.T) {
		journal := filepath.Join(m.Dir, "journal")
		must(t, os.WriteFile(journal, []byte("#!/bin/sh\ncase \"$*\" in *_SYSTEMD_INVOCATION_ID=????????????????????????????????) printf 'no licence\\ngiving up\\n' ;; esac\n"), 0o755))
		opt := m.opt
		opt.Systemd.Journal = journal
		s, err := Parse("systemd:exits", opt)
		must(t, err)
		checks(t, s, Failed, "it failed (exit-code, status 3): no licence | giving up")
	})
	t.Run("able", func(t *testing.T) {
		for name, says := range map[string]string{"plain": "", "lim@{lim}": "", "stays": "", "basic.target": "", "nothing": "systemd has no unit nothing.service",
			"bad": "cannot read unit", "once": "unit once.service is of Type=oneshot without RemainAfterExit=yes"} {
			err := Set{m.service(t, "systemd:"+name)}.Able(t.Context(), env)
			if (err != nil) != (says != "") || err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
		}
		if err := m.service(t, "systemd:once").Start(t.Context(), env); fault.CodeOf(err) != fault.Refused || !neverRan(err) || !strings.Contains(fault.HintOf(err), "RemainAfterExit=yes") {
			t.Errorf("a start that would not last: %v, hint %q", err, fault.HintOf(err))
		}
		s := m.service(t, "systemd:stays")
		must(t, s.Start(t.Context(), env))
		checks(t, s, Running, "")
	})
	t.Run("missing", func(t *testing.T) {
		s := m.service(t, "systemd:nothing")
		for _, err := range []error{s.Start(t.Context(), env), s.Stop(t.Context(), env), s.Reload(t.Context(), env)} {
			if fault.CodeOf(err) != fault.NotFound || !neverRan(err) || !strings.Contains(err.Error(), "systemd has no unit nothing.service") {
				t.Errorf("%v, code %d", err, fault.CodeOf(err))
			}
		}
		checks(t, s, Failed, "systemd has no unit")
		checks(t, m.service(t, "systemd:bad"), Failed, "cannot read unit")
	})
}

// Starts and stops that hang end at their limit, with everything they made.
func TestSystemdHangs(t *testing.T) {
	m := newManager(t, 2*time.Second, map[string]string{
		"start": "ExecStartPre=/bin/sh -c 'trap \"\" TERM; while :; do sleep 4720; done'\nExecStart=/bin/true\nTimeoutSec=infinity",
		"stop":  "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 4721; done'\nExecStop=/bin/sleep 4721\nTimeoutSec=infinity",
	})
	s := m.service(t, "systemd:start")
	err := s.Start(t.Context(), env)
	if err == nil || !strings.Contains(err.Error(), "did not end within 2s and was ended") || fault.CodeOf(err) != fault.Failed {
		t.Errorf("error %v", err)
	}
	poll(t, "the unit's processes to end", func() bool { return m.members(t, "4720") == 0 })
	s = m.service(t, "systemd:stop")
	must(t, s.Start(t.Context(), env))
	if err := s.Stop(t.Context(), env); err == nil || !strings.Contains(err.Error(), "did not end within 2s and was ended") {
		t.Errorf("error %v", err)
	}
	poll(t, "the unit's processes to end", func() bool { return m.members(t, "4721") == 0 })
}

// Systemd is started anew, as its updates do, and then the message bus: nothing of what
// runs is called failed, and calls that are made meanwhile get through.
func TestSystemdStartsAnew(t *testing.T) {
	m := newManager(t, 20*time.Second, map[string]string{
		"plain": "ExecStart=/bin/sleep 4730", "other": "ExecStart=/bin/sleep 4731", "slow": "ExecStartPre=/bin/sleep 2\nExecStart=/bin/sleep 4732",
	})
	s, other, slow := m.service(t, "systemd:plain"), m.service(t, "systemd:other"), m.service(t, "systemd:slow")
	must(t, s.Start(t.Context(), env))
	anew := func() { must(t, unix.Kill(m.PID, unix.SIGTERM)) } // for process 1: re-execute
	started := make(chan error, 1)
	go func() { started <- slow.Start(t.Context(), env) }()
	for range 3 {
		anew()
		for range 5 {
			checks(t, s, Running, "")
		}
		anew()
		must(t, other.Start(t.Context(), env))
		anew()
		must(t, other.Stop(t.Context(), env))
	}
	must(t, <-started)
	checks(t, slow, Running, "")
	m.RestartBus(t)
	for range 5 {
		checks(t, s, Running, "")
	}
	checks(t, slow, Running, "")
}

func TestSystemdUnreachable(t *testing.T) {
	opt := within(time.Second)
	opt.Systemd = Systemd{Dial: noBus(t)}
	s, err := Parse("systemd:lim", opt)
	must(t, err)
	if err := s.Start(t.Context(), env); fault.CodeOf(err) != fault.Unreachable || !neverRan(err) || fault.HintOf(err) == "" {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	if state, err := s.Check(t.Context(), env); state != Unknown || err == nil {
		t.Errorf("what cannot be seen is %s, %v", state, err)
	}
	if err := (Set{s}).Able(t.Context(), env); err != nil {
		t.Errorf("a systemd that does not answer now makes it unable: %v", err)
	}
	set, byName, _ := stubs("well")
	byName["well"].state = Stopped
	if state, service, err := append(set, s).Check(t.Context(), env); state != Stopped || service != "well" || err != nil {
		t.Errorf("a set of which one is stopped is %s: %s, %v", state, service, err)
	}
}

// noBus is a bus that is not there.
func noBus(t *testing.T) func(context.Context) (*dbus.Conn, error) {
	return func(ctx context.Context) (*dbus.Conn, error) { return systemdtest.Dial(ctx, t.TempDir()+"/none") }
}
