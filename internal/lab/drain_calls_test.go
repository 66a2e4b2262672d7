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

func TestDrainCalls(t *testing.T) { runScenario(t, "drain-calls", program(t)) }

// drainer is software with a verb drain: it is through when its calls are, a file of the
// server. It notes that it began, and that new calls may come in again.
const drainer = `#!/bin/sh
f=${0%%/*}/$MXCLUSTER_SERVER/run/drainer
case $1 in
start) touch $f.up ;;
stop) rm -f $f.up ;;
status) [ -e $f.up ] || exit 3 ;;
drain)
	trap 'echo open >$f.open; exit 1' TERM
	rm -f $f.open
	echo $$ >$f.pid
	while [ -e $f.calls ]; do sleep 0.05; done
	[ ! -e $f.broken ] || { echo "the trunk does not answer"; exit 1; } ;;
*) exit 64 ;;
esac
`

// drainCallsScenario moves a LIM when its calls have ended, or their time is up. Where that
// is interrupted nothing is moved, and nothing is left; where the server dies meanwhile the
// LIM is taken over as ever.
func drainCallsScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	script := filepath.Join(l.Dir, "drainer")
	if err := os.WriteFile(script, fmt.Appendf(nil, drainer), 0o700); err != nil {
		return err
	}
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+filepath.Join(l.Dir, "exchange"), "--service", "exec:"+script), "lim set")
	f.noError(x.stays(ctx, "srv1", "up"), "the software is started")

	out, err := x.srv2.Mxcluster(ctx, "failover", "1", "--drain-calls=20s", "-n")
	would := "before that, drain of exec:" + script + ", exec:" + filepath.Join(l.Dir, "exchange") + " is called on srv1, for at most 20s"
	f.check(err == nil && strings.Contains(string(out), would), "the dry run says %s, %v", out, err)

	// The calls end.
	move := x.drain(ctx, x.srv2, "failover", "1", "--drain-calls=20s", "--wait")
	f.noError(x.stays(ctx, "srv1", "pid"), "draining")
	from := time.Now()
	f.noError(x.caller.WaitAnswer(ctx, "srv1", from), "it serves meanwhile")
	f.noError(x.srv1.calls(false), "ending the calls")
	r := move(ctx)
	f.check(r.Code == 0 && strings.Contains(string(r.Err), "LIM 1 runs on sb1; its calls had ended after") && strings.Contains(string(r.Err), "passed over: exec:"+filepath.Join(l.Dir, "exchange")),
		"the move comes to %d, %s", r.Code, r.Err)
	f.noError(x.await(ctx, 1, "sb1"), "after the move")
	moved := x.caller.Between(from, time.Now()).Silence

	// Their time is up: what drains is ended, and the LIM moves.
	f.noError(awaitLIM(ctx, x.standby, 1, "is ready to fall back", fallbackReady), "before the fallback")
	r = x.drain(ctx, x.srv2, "fallback", "1", "--drain-calls=1s", "--wait")(ctx)
	f.check(r.Code == 0 && strings.Contains(string(r.Err), "LIM 1 runs on srv1; not all of its calls had ended after 1 s"), "the fallback comes to %d, %s", r.Code, r.Err)
	f.noError(x.await(ctx, 1, "srv1"), "after the fallback")
	f.noError(x.nothingDrains(ctx), "after the fallback")

	// It fails.
	f.noError(os.WriteFile(x.srv1.drainFile("broken"), nil, 0o600), "breaking it")
	f.noError(x.srv1.calls(false), "ending the calls")
	r, err = x.srv2.Run(ctx, nil, "mxcluster", "failover", "1", "--drain-calls")
	f.check(err == nil && r.Code == int(fault.Refused) && strings.Contains(string(r.Err), "the trunk does not answer"), "a drain that fails comes to %+v, %v", r, err)
	f.noError(os.Remove(x.srv1.drainFile("broken")), "mending it")
	f.noError(x.await(ctx, 1, "srv1"), "after it failed")

	// Somebody interrupts it.
	for _, via := range []*Server{x.srv2, x.srv1} {
		move = x.drain(ctx, via, "failover", "1", "--drain-calls")
		f.noError(x.stays(ctx, "srv1", "pid"), "draining")
		f.noError(via.interrupt(ctx), "interrupting it")
		r = move(ctx)
		f.check(r.Code == int(fault.Interrupted), "an interrupted move comes to %d, %s", r.Code, r.Err)
		f.noError(x.stays(ctx, "srv1", "open"), "new calls come in again")
		f.noError(x.nothingDrains(ctx), "after it was interrupted")
		f.noError(x.await(ctx, 1, "srv1"), "after it was interrupted")
	}

	// The server loses its power.
	move = x.drain(ctx, x.srv2, "failover", "1", "--drain-calls")
	f.noError(x.stays(ctx, "srv1", "pid"), "draining")
	from = time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	r = move(ctx)
	f.check(r.Code == int(fault.Unknown), "a move whose server died comes to %d, %s", r.Code, r.Err)
	row("planned move, when calls had ended", "silence "+milliseconds(moved), "")
	row("power cut while calls are drained", "silence "+milliseconds(x.caller.Between(from.Add(-100*time.Millisecond), time.Now()).Silence), "")
	return f.err()
}

// drain begins a move of LIM 1 while it has calls; what is returned waits for its end.
func (x *site) drain(ctx context.Context, via *Server, args ...string) func(ctx context.Context) *Result {
	type ended struct {
		r   *Result
		err error
	}
	ch := make(chan ended, 1)
	for _, s := range []*Server{x.srv1, x.standby} {
		if err := s.calls(true); err != nil {
			ch <- ended{err: err}
		}
		_ = os.Remove(s.drainFile("pid")) // of the drain before, if there was one
	}
	x.say("%s# mxcluster %s", via.Name, strings.Join(args, " "))
	go func() {
		r, err := via.Run(ctx, nil, append([]string{"mxcluster"}, args...)...)
		ch <- ended{r, err}
	}()
	return func(ctx context.Context) *Result {
		select {
		case e := <-ch:
			if e.err != nil {
				return &Result{Code: -1, Err: []byte(e.err.Error())}
			}
			x.show(e.r.Err)
			return e.r
		case <-ctx.Done():
			return &Result{Code: -1, Err: []byte("it does not end")}
		case <-time.After(testStep):
			return &Result{Code: -1, Err: []byte("it does not end")}
		}
	}
}

// drainFile is one of the files of the software on a server.
func (s *Server) drainFile(name string) string {
	return filepath.Join(s.Dir(), "run", "drainer."+name)
}

// calls has LIM 1 have calls on a server, or none.
func (s *Server) calls(on bool) error {
	if on {
		return os.WriteFile(s.drainFile("calls"), nil, 0o600)
	}
	return os.Remove(s.drainFile("calls"))
}

// stays waits for a file of the software, and looks that LIM 1 is on a server then.
func (x *site) stays(ctx context.Context, server, name string) error {
	if err := poll(ctx, name+" is there", func() bool { _, err := os.Stat(x.srv1.drainFile(name)); return err == nil }); err != nil {
		return err
	}
	return x.await(ctx, 1, server)
}

// nothingDrains waits until no program drains calls on any server.
func (x *site) nothingDrains(ctx context.Context) error {
	return poll(ctx, "nothing drains", func() bool {
		for _, s := range []*Server{x.srv1, x.standby} {
			if out, _, err := shell(ctx, s, "pgrep -f 'drainer drai[n]'"); err != nil || out != "" {
				return false
			}
		}
		return true
	})
}

// interrupt sends the order that runs on a server what Ctrl-C sends.
func (s *Server) interrupt(ctx context.Context) error {
	out, code, err := shell(ctx, s, "pkill -INT -f 'drain-call[s]'")
	if err == nil && code != 0 {
		err = fmt.Errorf("no order runs on %s: %s", s.Name, out)
	}
	return err
}
