//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/status"
)

// betrayalsEnv says how often what is promised is put to the test; by default a few times.
const betrayalsEnv = "MXCLUSTER_TEST_BETRAYALS"

// betrayalsByDefault are the situations that are played unless more is asked for.
const betrayalsByDefault = 4

func TestBetrayals(t *testing.T) { runScenario(t, "betrayals", program(t)) }

// situation is how a cluster may be when the server is lost on which LIM 1 is active.
type situation struct {
	name    string
	come    func(ctx context.Context, x *site) error
	undo    func(ctx context.Context, x *site) error
	covered bool
	away    bool // LIM 1 is on the standby, and its own server would take it back
}

func (x *site) mxDone(s *Server, args ...string) func(context.Context, *site) error {
	return func(ctx context.Context, x *site) error { return x.mx(ctx, s, args...) }
}

// situations are those that are played.
func (x *site) situations() []situation {
	sh := func(s *Server, command string) func(context.Context, *site) error {
		return func(ctx context.Context, _ *site) error {
			if out, code, err := shell(ctx, s, command); err != nil || code != 0 {
				return fmt.Errorf("%s: %s (%d): %w", command, out, code, err)
			}
			return nil
		}
	}
	nothing := func(context.Context, *site) error { return nil }
	away := func(ctx context.Context, x *site) error {
		if err := x.mx(ctx, x.standby, "failover", "1", "--now", "--wait"); err != nil {
			return err
		}
		return x.await(ctx, 1, "sb1")
	}
	program := x.Dir + "/exchange"
	return []situation{
		{name: "all is well", come: nothing, undo: nothing, covered: true},
		{name: "LIM 1 on the standby", come: away, undo: nothing, covered: true, away: true},
		{name: "standby drained", come: x.mxDone(x.srv2, "server", "drain", "sb1"), undo: x.mxDone(x.srv2, "server", "undrain", "sb1")},
		{name: "cluster frozen", come: x.mxDone(x.srv2, "freeze", "c1"), undo: x.mxDone(x.srv2, "unfreeze", "c1")},
		{name: "LIM 1 locked to its own server", come: x.mxDone(x.srv2, "lock", "1", "--to", "regular"), undo: x.mxDone(x.srv2, "unlock", "1")},
		{name: "agent of the standby stopped", come: x.mxDone(x.standby, "agent", "stop"),
			undo: func(ctx context.Context, x *site) error { return x.startAgent(ctx, x.standby) }},
		{name: "agent of the standby killed", come: func(ctx context.Context, x *site) error { return x.standby.SignalAgent(ctx, unix.SIGKILL) },
			undo: func(ctx context.Context, x *site) error { return x.startAgent(ctx, x.standby) }},
		{name: "agent of srv1 killed and started again", come: func(ctx context.Context, x *site) error {
			return errors.Join(x.srv1.SignalAgent(ctx, unix.SIGKILL), x.startAgent(ctx, x.srv1))
		}, undo: nothing, covered: true},
		{name: "program missing on the standby", come: sh(x.standby, "mount --bind /dev/null "+program), undo: sh(x.standby, "umount "+program)},
		{name: "standby without power", come: func(_ context.Context, x *site) error { return x.standby.PowerCut() },
			undo: func(ctx context.Context, x *site) error { return x.powerOn(ctx, x.standby) }},
		{name: "LIM 2 on the standby, its own server down", come: func(ctx context.Context, x *site) error {
			if err := x.srv2.PowerCut(); err != nil {
				return err
			}
			return x.await(ctx, 2, "sb1")
		}, undo: func(ctx context.Context, x *site) error { return x.powerOn(ctx, x.srv2) }},
		{name: "LIM 2 on the standby, its own server drained", come: func(ctx context.Context, x *site) error {
			if err := x.mx(ctx, x.srv2, "server", "drain", "srv2", "--wait"); err != nil {
				return err
			}
			return x.await(ctx, 2, "sb1")
		}, undo: x.mxDone(x.srv2, "server", "undrain", "srv2")},
		{name: "standby cut off", come: func(_ context.Context, x *site) error { return x.standby.SetCable(false) },
			undo: func(_ context.Context, x *site) error { return x.standby.SetCable(true) }},
		{name: "srv2 without power", come: func(ctx context.Context, x *site) error {
			if err := x.srv2.PowerCut(); err != nil {
				return err
			}
			if err := x.await(ctx, 2, "sb1"); err != nil {
				return err
			}
			if err := x.powerOn(ctx, x.srv2); err != nil {
				return err
			}
			if err := x.backHome(ctx, 2, "srv2"); err != nil {
				return err
			}
			return nil
		}, undo: nothing, covered: true},
		{name: "no room on the standby", come: sh(x.standby, "mount -t tmpfs -o ro none "+x.standby.Dir()+"/state && mount -t tmpfs -o ro none "+x.standby.Dir()+"/run"),
			undo: sh(x.standby, "umount "+x.standby.Dir()+"/run "+x.standby.Dir()+"/state")},
	}
}

// betrayalScenario reads in random situations what all servers promise, takes the server
// away on which LIM 1 is active, and holds what comes to what was said.
func betrayalScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	times, _ := strconv.Atoi(os.Getenv(betrayalsEnv))
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	all := x.situations()
	var f findings
	counts := map[string]int{}
	for i := range max(times, betrayalsByDefault) {
		if i%len(all) == 0 {
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		now, power := all[i%len(all)], rnd.IntN(2) == 0
		x.say("betrayal %d: %s, power cut %v", i+1, now.name, power)
		if err := x.betray(ctx, &f, now, power); err != nil || len(f.all) > 0 {
			return errors.Join(f.err(), err, fmt.Errorf("in betrayal %d, %s, power cut %v", i+1, now.name, power))
		}
		counts[strconv.FormatBool(now.covered)]++
	}
	row("promises put to the test", fmt.Sprint(counts), "kept")
	return f.err()
}

// betray plays one situation.
func (x *site) betray(ctx context.Context, f *findings, now situation, power bool) error {
	if err := now.come(ctx, x); err != nil {
		return err
	}
	from, to := x.srv1, x.standby
	if now.away {
		from, to = x.standby, x.srv1
	}
	if err := x.sayTheSame(ctx, now.covered); err != nil {
		return err
	}
	began := time.Now()
	lose := func() error { return from.SetCable(false) }
	if power {
		lose = from.PowerCut
	}
	if err := lose(); err != nil {
		return err
	}
	serves := func() bool {
		l, err := limStatus(ctx, to, 1)
		return err == nil && runsOn(to.Name)(l) && to.has(1)
	}
	served := within(ctx, 5*testFailoverAfter+3*time.Second, func(ctx context.Context) error {
		return poll(ctx, to.Name+" serves", serves)
	}) == nil
	f.check(served == now.covered, "%s: promised %v, and %s serves: %v, after %s", now.name, now.covered, to.Name, served, time.Since(began))
	if served {
		x.say("figure: %s: LIM 1 on %s after %s", now.name, to.Name, time.Since(began).Round(time.Millisecond))
	}
	if power {
		if err := x.powerOn(ctx, from); err != nil {
			return err
		}
	} else if err := from.SetCable(true); err != nil {
		return err
	}
	if err := now.undo(ctx, x); err != nil {
		return err
	}
	return errors.Join(x.backHome(ctx, 1, "srv1"), x.backHome(ctx, 2, "srv2"))
}

// sayTheSame waits until all servers that answer say whether LIM 1 is redundant, and one
// at least does.
func (x *site) sayTheSame(ctx context.Context, covered bool) error {
	said := ""
	err := poll(ctx, fmt.Sprintf("all say that LIM 1 is redundant: %v", covered), func() bool {
		said = ""
		answers := 0
		for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
			if s.first == nil {
				continue
			}
			l, err := limStatus(ctx, s, 1)
			if err != nil {
				continue // its agent is stopped
			}
			answer := "null"
			if l.Redundant != nil {
				answer = strconv.FormatBool(*l.Redundant)
			}
			said += fmt.Sprintf("%s: %s (%s); ", s.Name, answer, l.RedundantWhy)
			if isolated(l) && answer != "true" {
				continue
			}
			answers++
			if answer != strconv.FormatBool(covered) {
				return false
			}
		}
		return answers > 0
	})
	if err != nil {
		return fmt.Errorf("%w; at last: %s", err, said)
	}
	x.say("%s", said)
	return nil
}

// isolated reports whether a server that hears nobody says so of a LIM.
func isolated(l *status.StatusLIM) bool { return l.ActiveOn == nil }

// has reports whether a server's kernel has the alias of a LIM.
func (s *Server) has(lim int) bool {
	if s.first == nil {
		return false
	}
	all, err := s.addresses()
	return err == nil && slices.Contains(all, labAddress(byte(10+lim)))
}

// powerOn gives a server its power back, and starts its agent.
func (x *site) powerOn(ctx context.Context, s *Server) error {
	if err := s.Boot(ctx); err != nil {
		return err
	}
	return x.startAgent(ctx, s)
}

// backHome brings a LIM back to its own server, and waits until all say so.
func (x *site) backHome(ctx context.Context, lim int, home string) error {
	asked := time.Time{}
	err := poll(ctx, fmt.Sprintf("LIM %d is on %s", lim, home), func() bool {
		l, err := limStatus(ctx, x.standby, lim)
		switch {
		case err != nil:
		case runsOn(home)(l):
			return true
		case runsOn("sb1")(l) && fallbackReady(l) && time.Since(asked) > 5*time.Second:
			asked = time.Now()
			_ = x.mx(ctx, x.standby, "fallback", strconv.Itoa(lim)) // it is asked again
		}
		return false
	})
	if err != nil {
		return err
	}
	return x.sayTheSameOfAll(ctx)
}

// sayTheSameOfAll waits until every server says that both LIMs are where they belong.
func (x *site) sayTheSameOfAll(ctx context.Context) error {
	return poll(ctx, "all servers see each other", func() bool {
		for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
			if l, err := limStatus(ctx, s, 1); err != nil || l.ActiveOn == nil {
				return false
			}
		}
		return true
	})
}
