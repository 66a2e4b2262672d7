package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/member"
	"mxcluster/internal/settings"
	"mxcluster/internal/status"
)

// onLoop runs f on an agent's main loop. The context is not the test's, which is of no bubble.
func onLoop(t *testing.T, a *Agent, f func()) {
	t.Helper()
	ctx, cancel := a.background(time.Minute)
	defer cancel()
	if _, err := on(ctx, a.core, func() (struct{}, error) { f(); return struct{}{}, nil }); err != nil {
		t.Fatal(err)
	}
}

// Why a server is not heard is told by status, as long as that is so: here its gossip key is
// another one.
func TestCauseOfAServerThatIsNotHeard(t *testing.T) {
	inWorld(t, clusterconf.FallbackManual, func(w *world) {
		other := settings.Keys{{Secret: bytes.Repeat([]byte{1}, 32)}}
		right := w.servers["srv2"].keys
		w.servers["srv2"].keys = &memoryKeys{keys: other}
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", time.Minute)
		w.until(time.Minute, "an alarm tells the cause", func() bool {
			return slices.ContainsFunc(w.status("sb1").Clusters[0].Alarms, func(x status.Alarm) bool {
				return x.Name == string(alarms.NotUnderstood) && x.Server == "srv2" && x.LIM == 2 && strings.Contains(x.Text, "another gossip key")
			})
		})
		w.kill("srv2")
		w.servers["srv2"].keys = right
		w.start("srv2")
		w.until(time.Minute, "it is cleared", func() bool { return !w.alarmRaised("sb1", string(alarms.NotUnderstood)) })
		// What comes of a server that was heard just now is refused before that counts as silent, and
		// is told of once a minute.
		a := w.servers["sb1"].agent
		refused := func() {
			onLoop(t, a, func() {
				a.refusals.notBelieved(member.Event{Kind: member.Refused, At: time.Now(), Refusal: &member.Refusal{Kind: "other-key", Reason: "sealed with another gossip key",
					Remedy: "give it the right one", Count: 1, Servers: []netip.Addr{w.doc.Server("srv2").Base.Addr()}}})
			})
		}
		pass(2 * time.Minute)
		refused() // by somebody else: it is heard after that
		pass(10 * time.Second)
		w.powerCut("srv2")
		pass(10 * time.Second)
		if w.alarmRaised("sb1", string(alarms.NotUnderstood)) {
			t.Error("what came before the last word of srv2 counts")
		}
		w.boot("srv2")
		pass(20 * time.Second)
		w.kill("srv2")
		refused()
		w.until(15*time.Second, "an alarm tells the cause of one that was heard before", func() bool { return w.alarmRaised("sb1", string(alarms.NotUnderstood)) })
	})
}

// A server with the key that lies is told, now and then, and is not believed.
func TestMemberThatLies(t *testing.T) {
	inWorld(t, clusterconf.FallbackManual, func(w *world) {
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", time.Minute)
		m := w.servers["sb1"]
		a := m.agent
		says := func(from string, c failover.Claim) {
			c.Server, c.Run = from, "a run"
			raw, err := json.Marshal(statement{Claim: c})
			if err != nil {
				t.Fatal(err)
			}
			onLoop(t, a, func() {
				a.heard(a.net, member.Event{Kind: member.StateHeard, From: from, At: time.Now(), Payload: raw})
			})
		}
		told := func(is string) (n int, text string) {
			for _, e := range m.events.of(events.Server) {
				if e.Is == is {
					n, text = n+1, e.Text
				}
			}
			return n, text
		}
		known := func() (term uint64, peers int) {
			onLoop(t, a, func() { term, peers = a.lims.highestTerm(1), len(a.peers.all) })
			return term, peers
		}
		before, few := known()
		for range 3 {
			says("srv2", failover.Claim{Revision: 1, LIMs: []failover.LIMClaim{{LIM: 1, Term: 1 << 40, Known: failover.Place{Term: 1 << 40}}}})
			says("srv2", failover.Claim{Revision: 1 << 50})
		}
		pass(time.Second)
		if term, _ := known(); term != before {
			t.Errorf("term %d is believed, it was %d", term, before)
		}
		if n, text := told("beyond-reason"); n != 1 || !strings.Contains(text, "srv2") || !strings.Contains(text, "term 1099511627776 of LIM 1") {
			t.Errorf("told %d times: %s", n, text)
		}
		for i := range 2 * maxPeers {
			says(fmt.Sprintf("invented%d", i), failover.Claim{Revision: 1})
		}
		if _, n := known(); n > maxPeers {
			t.Errorf("%d servers are remembered", n)
		}
		onLoop(t, a, func() {
			for _, p := range a.peers.all { // as if much time had passed
				p.Since, p.at = p.Since.Add(-2*strangerLife), p.at.Add(-2*strangerLife)
			}
		})
		pass(time.Second)
		if _, n := known(); n != few {
			t.Errorf("%d servers are remembered for good, there were %d", n, few)
		}
		// One whose agent cannot be understood is named with the cause.
		w.kill("srv2")
		pass(10 * time.Second)
		onLoop(t, a, func() {
			for range 3 {
				a.refusals.notBelieved(member.Event{Kind: member.Refused, Refusal: &member.Refusal{Kind: "other-key", Reason: "sealed with another gossip key", Remedy: "give it the right one", Count: 2,
					Servers: []netip.Addr{w.doc.Server("srv2").Base.Addr(), w.doc.Server("srv1").Base.Addr()}}}) // of which the second one is heard
			}
		})
		pass(time.Second)
		if n, text := told("not-believed"); n != 1 || text != "the agent of srv2 is not understood: what comes from it is sealed with another gossip key; give it the right one" {
			t.Errorf("told %d times: %s", n, text)
		}
	})
}

// What a later version sends is passed over and told once of each server, however much comes. It
// counts as a sign of life, and an order that is not known is answered.
func TestMessagesOfALaterVersion(t *testing.T) {
	inWorld(t, clusterconf.FallbackManual, func(w *world) {
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", time.Minute)
		m := w.servers["sb1"]
		a := m.agent
		onLoop(t, a, func() {
			for i := range 3000 {
				ev := member.Event{Kind: member.LaterHeard, From: "srv2", At: time.Now(), Form: fmt.Sprintf("kind %d", i)}
				if i%3 > 0 {
					ev.Kind, ev.Payload = member.MessageHeard, []byte(`{"type":"later","to":{"x":1}}`)
				}
				if i%3 > 1 {
					ev.Kind, ev.Payload = member.StateHeard, []byte(`{"server":["srv2"]}`)
				}
				a.heard(a.net, ev)
			}
		})
		pass(time.Second)
		counts := map[string]int{}
		for _, e := range m.events.of(events.Server) {
			if e.Subject == "srv2" {
				counts[e.Is]++
			}
		}
		if counts["unknown"] != 1 || counts["unreadable"] != 1 {
			t.Errorf("told %v", counts)
		}
		var answer <-chan reply
		onLoop(t, w.servers["srv1"].agent, func() { answer = w.servers["srv1"].agent.mail.passOn("sb1", message{Type: "later"}) })
		if r := <-answer; r.err == nil || fault.CodeOf(r.err) != fault.Refused || !strings.Contains(r.err.Error(), "the agent of sb1") || fault.HintOf(r.err) != "upgrade mxcluster on sb1" {
			t.Errorf("the answer is %+v", r)
		}
		if w.alarmRaised("sb1", string(alarms.NotUnderstood)) {
			t.Error("it counts as not understood")
		}
	})
}
