//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/events"
)

func TestFaultySoftware(t *testing.T) {
	t.Parallel()
	runScenario(t, "faulty-software", program(t))
}

// faultyScript is a LIM's software that behaves as the file "fault" on its server says.
// Its daemon is in a session of its own, out of reach of its script's group.
const faultyScript = `#!/bin/sh
lab=${0%/*}
d=$lab/$MXCLUSTER_SERVER/run
fault=$(cat "$d/fault" 2>/dev/null)
running() { [ -r "$d/faulty.pid" ] && read -r pid <"$d/faulty.pid" && kill -0 "$pid" 2>/dev/null; }
daemon() { setsid "$lab/limd" "$1" </dev/null >/dev/null 2>&1 & }
case $1 in
start)
	running && exit 0
	case $fault in
	slow) "$lab/limd" 3 ;;
	hangs-in-start) daemon 1000; "$lab/limd" 1000 ;;
	exits) daemon 0; echo $! >"$d/faulty.pid"; exit 0 ;;
	children) daemon 1000; daemon 1000 ;;
	esac
	daemon 1000
	echo $! >"$d/faulty.pid"
	;;
stop)
	[ "$fault" != hangs-in-stop ] || exec "$lab/limd" 1000
	running && kill "$pid"
	while running; do sleep 0.01; done
	rm -f "$d/faulty.pid"
	;;
status) running || exit 3 ;;
esac
`

// faultySoftwareScenario: whatever a LIM's software does, the LIM ends in the right state with
// the right event, and nothing of it is left running.
func faultySoftwareScenario(ctx context.Context, l *Lab) error {
	x := &site{Lab: l, narrator: newNarrator(os.Stdout, false), asking: time.Millisecond,
		settings: "agent:\n  start_grace: 2s\nservices:\n  restarts: 8\n  check_interval: 100ms\n  start_limit: 4s\n  stop_limit: 1s\n"}
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	script := filepath.Join(l.Dir, "faulty")
	if err := os.WriteFile(script, []byte(faultyScript), 0o700); err != nil {
		return err
	}
	if err := os.Symlink("/bin/sleep", filepath.Join(l.Dir, "limd")); err != nil {
		return err
	}
	if err := x.create(ctx, testFailoverAfter); err != nil {
		return err
	}
	if err := x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+script, "--service", "exec:"+filepath.Join(l.Dir, "exchange")); err != nil {
		return err
	}
	for _, c := range []softwareFault{
		{"fine", x.moveAway, "sb1", events.State, "stopped", ""}, // and back, with the new software
		{"slow", x.crash, "srv1", events.State, "running", ""},
		{"hangs-in-start", x.crash, "sb1", events.State, "failed", "did not end within 4s and was ended"},
		{"exits", x.crash, "sb1", events.State, "failed", "faulty is stopped"},
		{"hangs-in-stop", x.moveAway, "sb1", events.Software, "", "did not end within 1s and was ended; processes that it left, and that were ended: limd"},
		{"children", x.moveAway, "sb1", events.Software, "", "left processes behind, which were ended: limd"},
	} {
		if err := x.playFault(ctx, c); err != nil {
			return fmt.Errorf("software that is %s: %w", c.fault, err)
		}
	}
	return nil
}

// softwareFault is what the software does, what is done to it on srv1, and what comes of it.
type softwareFault struct {
	fault string
	do    func(context.Context) error
	end   string // server where the LIM runs in the end
	kind  events.Kind
	is    string // of the event that srv1 has to tell
	words string // in it
}

func (x *site) playFault(ctx context.Context, c softwareFault) error {
	var f findings
	before := time.Now()
	f.noError(x.setFault(c.fault), "fault")
	if c.fault == "children" { // it has to be started so
		f.noError(x.crash(ctx), "starting")
		f.noError(x.awaitEvent(ctx, before, events.State, "running", ""), "starting")
	}
	f.noError(c.do(ctx), "doing")
	f.noError(within(ctx, testStep, func(ctx context.Context) error { return x.await(ctx, 1, c.end) }), "moving")
	f.noError(x.awaitEvent(ctx, before, c.kind, c.is, c.words), "event")
	if c.fault == "slow" {
		f.check(time.Since(before) >= 3*time.Second, "software that needs 3 s to start ran after %s", time.Since(before))
	}
	if c.end == "srv1" {
		return f.err()
	}
	f.noError(x.nothingLeft(ctx), "in the end")
	f.noError(x.setFault("fine"), "fault")
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--now", "--wait"), "fallback")
	f.noError(within(ctx, testStep, func(ctx context.Context) error { return x.await(ctx, 1, "srv1") }), "fallback")
	return f.err()
}

func (x *site) setFault(fault string) error {
	return os.WriteFile(filepath.Join(x.srv1.Dir(), "run", "fault"), []byte(fault+"\n"), 0o600)
}

// countMoods counts the software's processes.
const countDaemons = `cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^limd$'`

// crash ends the software of LIM 1 on srv1, so that the agent starts it anew.
func (x *site) crash(ctx context.Context) error {
	before := time.Now()
	_, _, err := shell(ctx, x.srv1, `for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = limd ] && kill ${p#/proc/}; done`)
	if err != nil {
		return err
	}
	return x.awaitEvent(ctx, before, events.State, "starting", "")
}

func (x *site) moveAway(ctx context.Context) error {
	return x.mx(ctx, x.srv1, "failover", "1", "--now", "--wait")
}

// nothingLeft waits until no process of the software is on srv1.
func (x *site) nothingLeft(ctx context.Context) error {
	var out string
	err := poll(ctx, "nothing of the software runs on srv1", func() bool {
		var err error
		out, _, err = shell(ctx, x.srv1, countDaemons)
		return err == nil && out == "0"
	})
	if err != nil {
		return fmt.Errorf("%w: %s processes", err, out)
	}
	return nil
}

// awaitEvent waits for an event that srv1 tells of LIM 1.
func (x *site) awaitEvent(ctx context.Context, since time.Time, kind events.Kind, is, words string) error {
	var list events.List
	err := within(ctx, testStep, func(ctx context.Context) error {
		return poll(ctx, fmt.Sprintf("srv1 tells of %s %s %q", kind, is, words), func() bool {
			out, err := x.srv1.Mxcluster(ctx, "events", "--lim", "1", "-o", "json")
			return err == nil && json.Unmarshal(out, &list) == nil && slices.ContainsFunc(list.Events, func(e events.Event) bool {
				return e.Server == "srv1" && e.Kind == kind && !e.Time.Before(since) && (is == "" || e.Is == is) && strings.Contains(e.Reason+e.Text, words)
			})
		})
	})
	if err != nil {
		var told []string
		for _, e := range list.Events {
			if !e.Time.Before(since) {
				told = append(told, e.Server+": "+e.Text)
			}
		}
		return fmt.Errorf("%w; it told %q", err, told)
	}
	return nil
}
