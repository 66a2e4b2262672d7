package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/control"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

// The standby returns from a power cut and finds in its state file that it ran
// a LIM. The regular server, which took it back meanwhile, goes on undisturbed.
func TestStandbyReturnsWithAStaleClaim(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.movedToStandby(1)
		w.powerCut("sb1")
		w.await(1, "srv1", soon)
		starts, gap := w.count("srv1", servicestest.VerbStart), w.watchGap(1, "srv1")
		w.boot("sb1")
		pass(10 * time.Second)
		if g, n := gap(), w.count("srv1", servicestest.VerbStart)-starts; g != 0 || n != 0 {
			t.Errorf("the alias was missing for %s and the software was started %d times", g, n)
		}
		w.await(1, "srv1", 0)
		w.neverTwice()
	})
}

// movedToStandby moves a LIM by order.
func (w *world) movedToStandby(lim int) {
	w.t.Helper()
	if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: lim}); err != nil {
		w.t.Fatal(err)
	}
	w.await(lim, "sb1", soon)
}

// A server whose agent was stopped, and which lost its alias without ever being
// gone, is taken over: its lease ran out, or it was started anew in no time.
func TestStoppedAgentLosesItsAlias(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.stop("srv1", false)
		pass(10 * time.Second)
		w.onlyOn(1, "srv1")
		if err := w.servers["srv1"].kernel.Drop("eth0", w.alias(1)); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		w.start("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		if got := w.software("srv1"); got != services.Stopped {
			t.Errorf("the software left behind on srv1 is %s", got)
		}
		w.neverTwice()
	})
}

// stop stops an agent in order.
func (w *world) stop(name string, release bool) {
	w.t.Helper()
	m := w.servers[name]
	if _, err := m.agent.Stop(w.t.Context(), control.StopRequest{Release: release}); err != nil {
		w.t.Fatal(err)
	}
	<-m.ended
	m.agent = nil
}

// onlyOn fails the test unless a LIM's alias is on one server alone.
func (w *world) onlyOn(lim int, on string) {
	w.t.Helper()
	if h := w.holders(lim); !slices.Equal(h, []string{on}) {
		w.t.Fatalf("the alias of LIM %d is on %v, want %s", lim, h, on)
	}
}

// What a server heard of a LIM's terms outlives its agent at once: a term is not
// given out twice.
func TestTermsHeardAreSaved(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.movedToStandby(1)
		pass(10 * time.Millisecond) // it has to hear of it
		w.kill("srv1")
		saved, err := w.servers["srv1"].state.Load()
		if known := saved.LIMs[1].Known; err != nil || known.Term != 2 || known.Server != "sb1" {
			t.Errorf("saved %+v, %v; want term 2 on sb1", known, err)
		}
	})
}

// A disk that takes a minute for what others write holds no takeover up, nor what
// follows, and an agent that is killed meanwhile knows what it did.
func TestSlowDisk(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		sb1 := w.servers["sb1"]
		sb1.state.setSlow(time.Minute)
		cut := w.powerCut("srv1")
		w.await(1, "sb1", limit+savePatience+100*time.Millisecond)
		pass(time.Second)
		t.Logf("taken over within %s", time.Since(cut))
		sb1.state.setSlow(0) // what is under way still takes its minute
		gap := w.watchGap(1, "sb1")
		w.kill("sb1")
		if known := sb1.state.known().LIMs[1]; known.Term != 2 || !known.Active {
			t.Errorf("kept %+v, want term 2, active", known)
		}
		w.start("sb1")
		pass(5 * time.Second)
		w.await(1, "sb1", 0)
		if g := gap(); g > 0 {
			t.Errorf("the alias was missing for %s", g)
		}
		w.boot("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		w.neverTwice()
	})
}

// The power goes before the disk has the term under which a LIM was taken over: the
// standby knows nothing of it, and all goes as if it had only been about to.
func TestPowerCutBeforeTheTermIsSaved(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["sb1"].state.setSlow(time.Minute)
		w.powerCut("srv1")
		w.await(1, "sb1", limit+savePatience+100*time.Millisecond)
		w.powerCut("sb1")
		w.servers["sb1"].state.setSlow(0)
		if term := w.servers["sb1"].state.known().LIMs[1].Known.Term; term != 1 {
			t.Fatalf("term %d is on the disk, want 1", term)
		}
		pass(time.Second)
		w.boot("sb1")
		w.await(1, "sb1", 3*time.Minute) // a cold start waits for the regular server
		w.boot("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		w.neverTwice()
	})
}

// A server that lost its alias to another one, because it was paused, stops the
// software that is still up there.
func TestSoftwareStopsWhenTheAliasIsLost(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		paused := make(chan struct{})
		w.servers["srv1"].kernel.FailWith(func(op string) error {
			if op == "Extend" {
				<-paused
			}
			return nil
		})
		pass(4 * time.Second)
		w.foreignHost(w.alias(1))
		w.servers["srv1"].kernel.FailWith(nil)
		close(paused)
		pass(3 * time.Second)
		if got := w.software("srv1"); got != services.Stopped {
			t.Errorf("the software of a LIM without its alias is %s", got)
		}
		if h := w.holders(1); len(h) != 0 {
			t.Errorf("the alias in use by a foreign host is on %v", h)
		}
	})
}

func (w *world) alias(lim int) netip.Prefix { return w.doc.ClusterOfLIM(lim).Member(lim).Alias }

// After a split brain the side that goes on announces the alias again, at once: clients
// may believe the other one.
func TestWinnerAnnouncesAgain(t *testing.T) {
	for _, stops := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		t.Run("the "+string(stops)+" side stops", func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = stops })
				pass(time.Second)
				w.partition(true, "srv1", "sb1", "srv2")
				pass(2 * time.Second) // too short for the regular side to notice
				w.partition(false, "srv1", "sb1", "srv2")
				healed, winner := time.Now(), "sb1"
				if stops == clusterconf.SideStandby {
					winner = "srv1"
				}
				a := w.servers[winner].agent
				w.crowd(winner)
				w.await(1, winner, time.Second)
				alone := time.Now()
				pass(100 * time.Millisecond)
				said, err := on(w.t.Context(), a.core, func() (time.Time, error) { return a.lims.of(1).alias.announced, nil })
				if err != nil || said.Before(alone.Add(-clearPeriod)) {
					t.Errorf("last announced at %s, healed at %s, alone since %s, %v", said, healed, alone, err)
				}
			})
		})
	}
}

// An alias that somebody deletes is on the wire again at once, whatever others ask this
// server: its clients wait.
func TestDeletedAliasIsBackBesideACrowd(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		a, alias := w.servers["srv1"].agent, w.alias(1)
		w.crowd("srv1")
		a.net.budget.Take(time.Now(), a.cfg.ARPBudget-1, arpbudget.Urgent) // it took the alias a moment ago
		if err := w.servers["srv1"].kernel.Drop("eth0", alias); err != nil {
			w.t.Fatal(err)
		}
		w.until(100*time.Millisecond, "the alias is back and not blocked", func() bool {
			back, err := on(w.t.Context(), a.core, func() (bool, error) { l := a.lims.of(1); return l.alias.holds && l.alias.blocked == "", nil })
			return err == nil && back && slices.Equal(w.holders(1), []string{"srv1"})
		})
		w.neverTwice()
	})
}

// crowd leaves a server as little room in its ARP budget as others can who ask it for
// addresses.
func (w *world) crowd(server string) { w.servers[server].replies.Add(100) }

// One that starts gives the alias up at once when another server has it too,
// however long its software takes to start or to stop.
func TestSlowStartYieldsTheAlias(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = clusterconf.SideStandby })
		pass(time.Second)
		soft := w.servers["sb1"].soft
		soft.Script(servicestest.VerbStart, servicestest.Step{After: 20 * time.Second})
		soft.Script(servicestest.VerbStop, servicestest.Step{After: 20 * time.Second})
		w.talk()
		w.partition(true, "srv1", "sb1", "srv2")
		pass(5 * time.Second)
		if h := w.holders(1); !slices.Equal(h, []string{"sb1", "srv1"}) {
			t.Fatalf("during the partition the alias is on %v", h)
		}
		w.partition(false, "srv1", "sb1", "srv2")
		w.await(1, "srv1", time.Second)
		pass(time.Minute)
		w.await(1, "srv1", 0)
		if got := w.software("sb1"); got != services.Stopped {
			t.Errorf("the software on the standby is %s", got)
		}
	})
}

// Somebody holds the document's lock for a long time: no lease is lost over it.
func TestDocumentLockDoesNotStopTheLoop(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		gap := w.watchGap(2, "srv2")
		release, done := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := w.servers["srv2"].store.Edit(w.t.Context(), clusterconf.Change{By: "slow"}, func(*clusterconf.Document) error {
				<-release
				return nil
			})
			done <- err
		}()
		pass(100 * time.Millisecond)
		w.edit("srv1", func(c *clusterconf.Cluster) { c.Fallback = automatic })
		pass(20 * time.Second)
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		pass(5 * time.Second)
		if g := gap(); g != 0 {
			t.Errorf("the alias of LIM 2 was missing for %s", g)
		}
		w.sameDocument(2)
	})
}

// A LIM ordered to where its software does not start comes back, without being
// tried there over and over.
func TestOrderToWhereItFails(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.movedToStandby(1)
		w.servers["srv1"].soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		starts := w.count("srv1", servicestest.VerbStart)
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		w.await(1, "sb1", 20*time.Second)
		pass(2 * time.Minute)
		w.await(1, "sb1", 0)
		if n := w.count("srv1", servicestest.VerbStart) - starts; n > 3 {
			t.Errorf("started %d times where it fails", n)
		}
		w.neverTwice()
	})
}

// All agents die at once, or that of the standby alone, while it runs a LIM.
func TestAgentsKilledTogether(t *testing.T) {
	for _, dead := range [][]string{{"sb1"}, {"srv1", "sb1"}, {"srv1", "srv2", "sb1"}} {
		for _, back := range []time.Duration{time.Second, time.Minute} {
			t.Run(fmt.Sprintf("%s, back after %s", strings.Join(dead, " "), back), func(t *testing.T) {
				t.Parallel()
				inWorld(t, manual, func(w *world) {
					w.settled()
					w.movedToStandby(1)
					for _, name := range dead {
						w.kill(name)
					}
					pass(back)
					w.start(dead...)
					pass(40 * time.Second)
					if h := w.holders(1); len(h) != 1 {
						t.Errorf("LIM 1 is on %v; %s", h, w.reasons(1))
					}
					w.onlyOn(2, "srv2")
					w.neverTwice()
				})
			})
		}
	}
}

// Software that does not stop when its LIM leaves is stopped again, for it must
// not stay up beside the LIM's other side for good.
func TestSoftwareThatDoesNotStop(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["srv1"].soft.Script(servicestest.VerbStop, servicestest.Step{Err: errBroken})
		w.movedToStandby(1)
		pass(time.Minute)
		if w.software("srv1") != services.Running || w.count("srv1", servicestest.VerbStop) < 2 {
			t.Errorf("the software on srv1 is %s after %d stops", w.software("srv1"), w.count("srv1", servicestest.VerbStop))
		}
		w.servers["srv1"].soft.Script(servicestest.VerbStop, servicestest.Step{})
		pass(time.Minute)
		if got := w.software("srv1"); got != services.Stopped {
			t.Errorf("the software on srv1 is %s", got)
		}
		w.await(1, "sb1", 0)
		w.neverTwice()
	})
}
