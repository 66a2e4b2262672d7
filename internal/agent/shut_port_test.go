package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// shut has a server behind a switch port that passes nothing, as one with spanning tree
// does for a while after its link is up, or opens it.
func (w *world) shut(on bool, server string) {
	for _, s := range []string{"sb1", "srv1", "srv2", "talker"} {
		if s != server {
			w.partition(on, server, s)
		}
	}
}

// A server that boots behind a shut port, while its LIM runs on the standby, never
// answers for the alias when the port opens, however late that is.
func TestBootBehindAShutPort(t *testing.T) {
	for _, shut := range []time.Duration{8 * time.Second, 29 * time.Second, 50 * time.Second} {
		for _, restarted := range []bool{false, true} {
			name := "shut for " + shut.String()
			if restarted {
				name += ", the agent alone was started anew"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inWorld(t, manual, func(w *world) {
					w.settled()
					w.talk()
					w.powerCut("srv1")
					w.await(1, "sb1", soon)
					pass(5 * time.Second)
					w.setStrict()
					w.shut(true, "srv1")
					if restarted { // what it remembers of the others counts
						w.servers["srv1"].boots--
					}
					w.boot("srv1")
					pass(shut)
					if shut < w.servers["srv1"].agent.cfg.StartGrace {
						if n := w.count("srv1", "start"); n > 1 {
							t.Errorf("srv1 has started its software %d times, though the LIM may run on sb1", n)
						}
					}
					w.shut(false, "srv1")
					pass(20 * time.Second)
					w.await(1, "sb1", 0)
					w.neverTwice()
				})
			})
		}
	}
}

// After a power cut of the whole site all servers boot behind shut ports. At no time do
// two of them answer for an alias, and clients are served when the ports are open.
func TestBlackoutBehindShutPorts(t *testing.T) {
	for _, away := range []bool{false, true} {
		for _, shut := range []time.Duration{8 * time.Second, 31 * time.Second, 50 * time.Second} {
			name, want := "shut for "+shut.String(), "srv1"
			if away {
				name, want = name+" with LIM 1 on the standby", "sb1"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inWorld(t, manual, func(w *world) {
					if away {
						w.moveAway()
					} else {
						w.settled()
						for _, s := range []string{"sb1", "srv1", "srv2"} { // who is last takes nothing over meanwhile
							w.powerCut(s)
						}
						pass(time.Minute)
					}
					w.setStrict()
					for _, s := range []string{"srv1", "srv2", "sb1"} {
						w.shut(true, s)
						w.boot(s)
						pass(300 * time.Millisecond)
					}
					pass(shut)
					for _, s := range []string{"srv1", "srv2", "sb1"} {
						w.shut(false, s)
						pass(10 * time.Millisecond)
					}
					w.until(soon, "LIM 1 is served", func() bool { return len(w.holders(1)) == 1 })
					pass(30 * time.Second)
					if shut < 30*time.Second {
						w.await(1, want, 0)
					}
					if len(w.holders(1)) != 1 || len(w.holders(2)) != 1 {
						t.Errorf("LIM 1 is on %v, LIM 2 on %v", w.holders(1), w.holders(2))
					}
					w.neverTwice()
				})
			})
		}
	}
}

// A server that hears nobody at all starts its LIM all the same when the time for a cold
// start is over, and serves it as soon as anybody is heard.
func TestNobodyIsHeard(t *testing.T) {
	for _, alone := range []time.Duration{5 * time.Second, 40 * time.Second, 10 * time.Minute} {
		t.Run("a client asks after "+alone.String(), func(t *testing.T) {
			t.Parallel()
			inWorld(t, manual, func(w *world) {
				w.powerCut("sb1")
				w.powerCut("srv2")
				w.start("srv1")
				pass(alone)
				if up := alone > 30*time.Second; w.isBlocked("srv1", 1) != up || (w.count("srv1", "start") == 1) != up {
					t.Errorf("after %s blocked: %v, software started %d times", alone, w.isBlocked("srv1", 1), w.count("srv1", "start"))
				}
				w.talk()
				took := w.until(settleTime+time.Second, "it serves", func() bool { return slices.Equal(w.holders(1), []string{"srv1"}) })
				t.Logf("served after %s more", took)
			})
		})
	}
}

// Where only one other server could be heard its silence tells nothing: the alias is
// shown after a minute.
func TestOneOtherIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Servers, doc.LIMs = doc.Servers[:2], doc.LIMs[:1]
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		defer w.close()
		w.powerCut("sb1")
		w.start("srv1")
		took := w.until(30*time.Second+quietLimit+5*time.Second, "it serves", func() bool { return slices.Equal(w.holders(1), []string{"srv1"}) })
		if took < 30*time.Second+quietLimit {
			t.Errorf("served after %s though nobody was heard", took)
		}
		pass(time.Minute)
		w.await(1, "srv1", 0)
	})
}

// A port that is shut for a while after a cable was plugged in shows nobody two holders.
func TestCableIntoAShutPort(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		pass(5 * time.Second)
		k := w.servers["srv1"].kernel
		w.shut(true, "srv1")
		k.SetUp("eth0", false)
		w.until(soon, "sb1 has it", func() bool { return slices.Equal(w.holders(1), []string{"sb1"}) })
		w.setStrict()
		k.SetUp("eth0", true)
		pass(30 * time.Second)
		w.shut(false, "srv1")
		pass(20 * time.Second)
		w.await(1, "sb1", 0)
		w.neverTwice()
	})
}
