package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/sinks"
)

// listeners are the sinks of all servers, which outlive the agents; they say what came to
// whom as "srv1 raised lim-down 1".
type listeners struct {
	mu    sync.Mutex
	told  []string
	hangs bool
	but   alarms.Name // what is not kept
}

// listener is the sink of one server.
type listener struct {
	all  *listeners
	on   string
	kind string
}

func (l listener) Name() string { return l.kind }

func (l listener) Reach() alarms.Reach { return alarms.People }

func (l listener) Tell(ctx context.Context, m sinks.Message) error {
	l.all.mu.Lock()
	hangs := l.all.hangs
	l.all.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if m.Name == string(l.all.but) {
		return nil
	}
	l.all.told = append(l.all.told, fmt.Sprintf("%s %s %s %d", l.kind, m.State, m.Name, m.LIM))
	return nil
}

// hear gives every server of a world two sinks.
func (w *world) hear() *listeners {
	all := &listeners{}
	w.wrap = func(m *machine, d Deps) Deps {
		d.Sinks = []sinks.Sink{listener{all, m.name, "exec"}, listener{all, m.name, "snmp"}}
		return d
	}
	return all
}

// set has the sinks hang or not from now on, and pass over alarms of a name.
func (l *listeners) set(hangs bool, but alarms.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangs, l.but = hangs, but
}

// of is what one kind of sink was told, by all servers.
func (l *listeners) of(kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, s := range l.told {
		if rest, ok := strings.CutPrefix(s, kind+" "); ok {
			out = append(out, rest)
		}
	}
	return strings.Join(out, ", ")
}

// want lets time pass until both kinds were told this, and then a while for more to come.
func (l *listeners) want(w *world, within time.Duration, want ...string) {
	w.t.Helper()
	all := strings.Join(want, ", ")
	for began := time.Now(); time.Since(began) <= within && (l.of("exec") != all || l.of("snmp") != all); {
		pass(100 * time.Millisecond)
	}
	pass(40 * time.Second)
	for _, kind := range []string{"exec", "snmp"} {
		if got := l.of(kind); got != all {
			w.t.Errorf("%s was told %q, want %q", kind, got, all)
		}
	}
}

// An alarm that two servers raise is told once, and its end once, though who told it is
// dead by then and comes back.
func TestAlarmIsToldOnce(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		heard := w.hear()
		heard.set(false, alarms.NotRedundant) // a standby that has just come up covers nothing yet
		w.settled()
		w.powerCut("sb1")
		heard.want(w, 10*time.Second, "raised standby-out-of-order 0")
		teller := ""
		for _, name := range []string{"srv1", "srv2"} {
			a := w.servers[name].agent
			if told, err := on(w.t.Context(), a.core, func() (int, error) { return len(a.alarms.Told), nil }); err != nil || told > 0 {
				teller += name
			}
		}
		if teller != "srv1" {
			w.t.Fatalf("told by %q", teller)
		}
		w.powerCut("srv1")
		pass(15 * time.Second)
		w.boot("sb1")
		w.await(1, "sb1", 2*time.Minute)
		heard.want(w, time.Minute, "raised standby-out-of-order 0", "cleared standby-out-of-order 0", "raised lim-on-standby 1")
		w.boot("srv1")
		pass(20 * time.Second)
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1, By: "test"}); err != nil {
			w.t.Fatal(err)
		}
		w.await(1, "srv1", soon)
		heard.want(w, time.Minute, "raised standby-out-of-order 0", "cleared standby-out-of-order 0", "raised lim-on-standby 1", "cleared lim-on-standby 1")
	})
}

// What an agent had not told yet when it was killed is told by the next one, and agents that
// start anew tell nothing again.
func TestRestartTellsNothingAgain(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		heard := w.hear()
		w.settled()
		heard.set(true, "")
		w.powerCut("sb1")
		pass(10 * time.Second)
		w.kill("srv1")
		heard.set(false, "")
		w.start("srv1")
		heard.want(w, 20*time.Second, "raised standby-out-of-order 0")
		for _, name := range []string{"srv1", "srv2"} {
			w.kill(name)
			w.start(name)
			pass(5 * time.Second)
		}
		heard.want(w, 0, "raised standby-out-of-order 0")
	})
}

// Neither an upgrade of one agent after the other, nor a reboot of a drained server, nor a
// cable that is out for less than the silence limit tells anybody anything.
func TestNothingIsToldOfMaintenance(t *testing.T) {
	rounds := 1
	if text := os.Getenv("MXCLUSTER_TEST_MAINTENANCE"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	inWorld(t, automatic, func(w *world) {
		heard := w.hear()
		w.settled()
		for range rounds {
			for _, name := range []string{"srv1", "srv2", "sb1"} { // an upgrade
				m := w.servers[name]
				m.cancel()
				if err := <-m.ended; err != nil && !errors.Is(err, context.Canceled) {
					w.t.Fatal(err)
				}
				m.agent = nil
				pass(time.Second)
				w.start(name)
				pass(10 * time.Second)
			}
			heard.set(false, alarms.NotRedundant) // the standby runs LIM 1, so that LIM 2 is not covered
			w.drain("srv2", "srv1", time.Hour)
			w.await(1, "sb1", soon)
			w.powerCut("srv1")
			pass(time.Minute)
			w.boot("srv1")
			pass(20 * time.Second)
			w.undrain("srv2", "srv1")
			w.await(1, "srv1", 20*time.Second)
			pass(20 * time.Second)
			heard.set(false, "")
			w.segment.Disconnect(w.servers["srv2"].kernel) // a cable
			pass(limit / 2)
			w.segment.Connect(w.servers["srv2"].kernel, "eth0")
			pass(10 * time.Second)
		}
		heard.want(w, 0)
	})
}

// A sink that hangs delays no takeover.
func TestHangingSinkDelaysNothing(t *testing.T) {
	took := map[bool]time.Duration{}
	for _, hangs := range []bool{false, true} {
		inWorld(t, manual, func(w *world) {
			heard := w.hear()
			heard.set(hangs, "")
			w.settled()
			w.powerCut("srv2")
			w.await(2, "sb1", soon)
			pass(20 * time.Second)
			if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 2, Now: true, By: "test"}); err == nil {
				w.t.Error("LIM 2 fell back to a dead server")
			}
			w.boot("srv2")
			pass(20 * time.Second)
			if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 2, By: "test"}); err != nil {
				w.t.Fatal(err)
			}
			w.await(2, "srv2", soon)
			pass(20 * time.Second)
			at := w.powerCut("srv1")
			w.await(1, "sb1", soon)
			took[hangs] = time.Since(at)
		})
	}
	t.Logf("takeover beside a sink that hangs: %s, beside one that does not: %s", took[true], took[false])
	if took[true] > took[false]+limit {
		t.Errorf("beside a sink that hangs a takeover took %s, else %s", took[true], took[false])
	}
}
