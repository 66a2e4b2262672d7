//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestPower(t *testing.T)    { runScenario(t, "power", self(t)) }
func TestCable(t *testing.T)    { runScenario(t, "cable", self(t)) }
func TestExchange(t *testing.T) { runScenario(t, "exchange", self(t)) }

// powerScenario checks that a power cut ends everything at once, and what a
// boot brings back.
func powerScenario(ctx context.Context, l *Lab) error {
	var f findings
	servers, err := testServers(ctx, l, 1)
	if err != nil {
		return err
	}
	s := servers[0]
	w, err := l.AddWatcher(s.Base().Addr(), time.Millisecond)
	if err != nil {
		return err
	}
	f.noError(w.WaitHolder(ctx, s.MAC), "before the cut")
	for _, sub := range []string{"etc", "state", "run"} {
		f.noError(os.WriteFile(filepath.Join(s.Dir(), sub, "file"), nil, 0o600), "writing")
	}
	// A daemon in a session of its own, and a command that is waited for.
	if _, _, err := shell(ctx, s, "setsid sh -c 'while :; do echo > tick; sleep 0.01; done' >/dev/null 2>&1 &"); err != nil {
		return err
	}
	waiting, err := start(ctx, l.Dir, s.Name, []string{"sleep", "60"}, nil, Stdio{})
	if err != nil {
		return err
	}
	defer waiting.close()
	tick := filepath.Join(s.Dir(), "tick")
	f.noError(awaitFile(ctx, tick, ""), "daemon")

	f.noError(s.PowerCut(), "power cut")
	f.noError(os.Remove(tick), "no process writes any more")
	_, err = waiting.wait(ctx)
	f.check(fault.CodeOf(err) == fault.Unreachable, "command on a server that lost its power: %v", err)
	_, err = s.Run(ctx, nil, "true")
	f.check(fault.CodeOf(err) == fault.Unreachable, "command on a server without power: %v", err)
	f.check(fault.CodeOf(s.PowerCut()) == fault.Refused, "power was cut twice")
	from := time.Now()
	f.noError(awaitSettled(ctx, w, 20), "asking")
	h := w.Between(from, time.Now())
	f.check(h.Unanswered == h.Requests, "%d of %d requests answered without power", h.Requests-h.Unanswered, h.Requests)
	_, err = os.Stat(tick)
	f.check(os.IsNotExist(err), "the daemon lived on")

	f.noError(s.Boot(ctx), "boot")
	f.noError(w.WaitHolder(ctx, s.MAC), "same MAC after the boot")
	for sub, kept := range map[string]bool{"etc": true, "state": true, "run": false} {
		_, err := os.Stat(filepath.Join(s.Dir(), sub, "file"))
		f.check(os.IsNotExist(err) != kept, "file in %s after the boot: %v", sub, err)
	}
	f.noError(bootWithOtherBase(ctx, s), "other base")
	return f.err()
}

func bootWithOtherBase(ctx context.Context, s *Server) error {
	if err := s.PowerCut(); err != nil {
		return err
	}
	s.SetBase(labAddress(77))
	if err := s.Boot(ctx); err != nil {
		return err
	}
	out, _, err := shell(ctx, s, "cat /proc/net/fib_trie | grep -c 192.0.2.77")
	if err == nil && out == "0" {
		err = fmt.Errorf("address %s is missing", s.Base())
	}
	return err
}

// awaitSettled returns after the time that so many more requests take, and when as many of
// them were sent as a busy machine gets sent in it.
func awaitSettled(ctx context.Context, w *Watcher, requests int) error {
	from := time.Now()
	if err := wait(ctx, time.Duration(requests)*w.every); err != nil {
		return err
	}
	return poll(ctx, "requests are sent", func() bool {
		return w.Between(from, time.Now()).Requests >= (requests+9)/10
	})
}

// cableScenario checks that a pulled cable silences a server and stops nothing.
func cableScenario(ctx context.Context, l *Lab) error {
	var f findings
	servers, err := testServers(ctx, l, 2)
	if err != nil {
		return err
	}
	s := servers[0]
	w, err := l.AddWatcher(s.Base().Addr(), time.Millisecond)
	if err != nil {
		return err
	}
	f.noError(w.WaitHolder(ctx, s.MAC), "before")
	f.noError(s.SetCable(false), "pulling the cable")
	out, _, err := shell(ctx, s, "cat /sys/class/net/eth0/carrier 2>&1; echo lives")
	f.check(err == nil && out != "", "server with a pulled cable: %q, %v", out, err)
	from := time.Now()
	f.noError(awaitSettled(ctx, w, 20), "asking")
	h := w.Between(from, time.Now())
	f.check(h.Unanswered == h.Requests, "%d of %d requests answered by a pulled cable", h.Requests-h.Unanswered, h.Requests)
	f.noError(s.SetCable(true), "plugging the cable in")
	f.noError(w.WaitHolder(ctx, s.MAC), "after")

	// Two servers with one address: the watcher must see both.
	f.noError(servers[1].PowerCut(), "power cut")
	servers[1].SetBase(s.Base())
	f.noError(servers[1].Boot(ctx), "boot")
	f.noError(poll(ctx, "two answer one request", func() bool { return w.Between(from, time.Now()).Twice > 0 }), "two holders")
	return f.err()
}

// exchangeScenario checks the LIM's software of the lab, and that a caller
// counts what it loses.
func exchangeScenario(ctx context.Context, l *Lab) error {
	var f findings
	servers, err := testServers(ctx, l, 1)
	if err != nil {
		return err
	}
	s := servers[0]
	path, err := l.installExchange()
	if err != nil {
		return err
	}
	action := func(name string) int {
		r, err := s.exchange(ctx, path, 1, name)
		if err != nil {
			return -1
		}
		return r.Code
	}
	c, err := l.AddCaller(s.Base().Addr())
	if err != nil {
		return err
	}
	for i, step := range []struct {
		action string
		code   int
	}{
		{"status", 3}, {"stop", 0}, {"start", 0}, {"start", 0}, {"status", 0}, {"reload", 0},
		{"stop", 0}, {"status", 3}, {"start", 0}, {"status", 0}, {"dance", int(fault.Usage)},
	} {
		got := action(step.action)
		f.check(got == step.code, "step %d, %s: code %d, want %d", i, step.action, got, step.code)
	}
	r, err := s.Run(ctx, []string{"MXCLUSTER_SERVER=srv1", "MXCLUSTER_LIM=2", "MXCLUSTER_ALIAS=192.0.2.99"}, path, "start")
	f.check(err == nil && r.Code == 1 && strings.Contains(string(r.Out), "cannot assign requested address"),
		"start with an alias that is not here: %+v, %v", r, err)
	began := time.Now()
	f.noError(c.WaitAnswer(ctx, "srv1", began), "answer")
	f.noError(s.PowerCut(), "power cut")
	f.noError(s.Boot(ctx), "boot")
	f.check(action("status") == 3, "exchange runs after a boot")
	f.check(action("start") == 0, "exchange does not start after a boot")
	end := time.Now()
	f.noError(c.WaitAnswer(ctx, "srv1", end), "answer after the boot")
	seen := c.Between(began, time.Now())
	f.check(seen.Lost > 0 && seen.Lost < seen.Calls, "%d of %d calls lost by a power cut", seen.Lost, seen.Calls)
	f.check(seen.Silence > 5*time.Millisecond && len(seen.By) == 1, "silence %s, answers by %q", seen.Silence, seen.By)
	return f.err()
}
