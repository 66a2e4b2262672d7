package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/compat"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
)

// States that earlier versions kept are read with all that they say: terms above all, which are
// never used twice. They are written again as they were, so that the version that wrote them reads
// those of this one, after a downgrade.
func TestStatesOfEarlierVersions(t *testing.T) {
	compat.Each(t, compat.Recorded(t, "states"), func(t *testing.T, in compat.Input) {
		p, err := stateFrom(t, in)
		if err != nil || p.unknown != nil {
			t.Fatal(err, p.unknown)
		}
		is, err := encodeState(p)
		if err != nil {
			t.Fatal(err)
		}
		if lost := compat.Lost(t, in.Content, is); lost != nil {
			t.Errorf("lost are %q", lost)
		}
		want := map[string]string{"regular-running.json": "LIM 1 active", "standby-running.json": "LIM 1 active", "standby-took-over.json": "LIM 2 active", "regular-taken-over.json": "", "standby-free.json": ""}[in.Name]
		got := ""
		for n, l := range p.LIMs {
			if l.Active {
				got = fmt.Sprintf("LIM %d active", n)
			}
			if l.Known.Term == 0 || l.Known.Server == "" {
				t.Errorf("LIM %d last ran at %+v", n, l.Known)
			}
		}
		if got != want || p.Boot == "" || p.Number == 0 || len(p.Programs) != 2 {
			t.Errorf("it says %q, want %q: %+v", got, want, p)
		}
	})
}

func stateFrom(t *testing.T, in compat.Input) (persisted, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(path, in.Content, 0o600); err != nil {
		t.Fatal(err)
	}
	return loadState(path)
}

// What a later version kept is read for what is known, after a downgrade, and the rest is told.
func TestStatesOfTheFuture(t *testing.T) {
	compat.Each(t, compat.OfTheFuture(t, "states"), func(t *testing.T, in compat.Input) {
		p, err := stateFrom(t, in)
		l := p.LIMs[1]
		if !l.Active || l.Term != 7 || l.Known != (failover.Place{Term: 7, Server: "srv1"}) || len(l.Up) != 1 || p.Seen["sb1"].IsZero() || len(p.Alarms.Alarms) != 1 {
			t.Errorf("it says %+v", p)
		}
		if got := strings.Join(p.unknown, " "); got != "alarms neighbours weather lims.1.forecast lims.1.known" {
			t.Errorf("not known are %s", got)
		}
		if in.Name != "other-form.json" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		for _, at := range []string{"boot", "conflict", "lims.2.term", "lims.third"} {
			if err == nil || !strings.Contains(err.Error(), at+": ") {
				t.Errorf("%s is not named: %v", at, err)
			}
		}
		if other := p.LIMs[2]; other.Known.Term != 9 || other.Known.Server != "sb1" {
			t.Errorf("of LIM 2 it says %+v", other)
		}
	})
}

// An agent goes on by a later version's state, and says what of it it does not know.
func TestAgentGoesOnByAStateOfTheFuture(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		kept := *w.servers["srv1"].state.kept
		kept.Version, kept.unknown = stateVersion+1, []string{"weather", "lims.1.forecast"}
		w.servers["srv1"].state.kept = &kept
		term := kept.LIMs[1].Term
		w.start("srv1")
		pass(soon)
		w.await(1, "srv1", 0)
		a := w.servers["srv1"].agent
		onLoop(t, a, func() {
			if is := a.lims.of(1).Term; is != term || term == 0 {
				t.Errorf("LIM 1 runs under term %d, and did under %d", is, term)
			}
		})
		contains(t, w.eventsFrom("srv1", events.Query{}), "srv1: a later version of mxcluster kept the state of srv1 (format 2); test goes on by what it knows of it, without weather, lims.1.forecast")
	})
}

// gossipOf is what a server said, taken out of its envelope, and how it came.
func gossipOf(t testing.TB, in compat.Input) (all []member.Event) {
	t.Helper()
	type envelope struct {
		Kind    string          `json:"k"`
		Origin  string          `json:"o"`
		Payload json.RawMessage `json:"p"`
	}
	var list []envelope
	if strings.HasSuffix(in.Name, "-states.json") {
		if err := json.Unmarshal(in.Content, &list); err != nil {
			t.Fatal(err)
		}
	} else {
		var one envelope
		if err := json.Unmarshal(in.Content, &one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	for _, e := range list {
		kind := map[string]member.EventKind{"": member.StateHeard, "state": member.StateHeard, "message": member.MessageHeard, "note": member.NoteHeard}[e.Kind]
		if kind != 0 && len(e.Payload) > 0 {
			if bytes.Contains(e.Payload, []byte(`"run":"recorded-`)) {
				continue // what the recording said itself, and a server passed on
			}
			all = append(all, member.Event{Kind: kind, From: e.Origin, At: time.Now(), Payload: e.Payload})
		}
	}
	return all
}

// What agents of earlier versions say is understood in all of its parts.
func TestGossipOfEarlierVersions(t *testing.T) {
	heard := map[string]map[string]bool{}
	compat.Each(t, compat.Recorded(t, "gossip"), func(t *testing.T, in compat.Input) {
		if heard[in.Release] == nil {
			heard[in.Release] = map[string]bool{}
		}
		for _, ev := range gossipOf(t, in) {
			var v any
			switch ev.Kind {
			case member.StateHeard:
				v = &statement{}
			case member.MessageHeard:
				v = &message{}
			default:
				v = &aliasQuery{}
			}
			if err := json.Unmarshal(ev.Payload, v); err != nil {
				t.Fatal(err)
			}
			is, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if lost := compat.Lost(t, ev.Payload, is); lost != nil {
				t.Errorf("of %s are lost %q", ev.From, lost)
			}
			switch v := v.(type) {
			case *statement:
				if v.Server == ev.From && v.Revision > 0 && v.Hash != "" && v.Run != "" {
					heard[in.Release]["state"] = true
				}
			case *message:
				heard[in.Release][v.Type] = true
			case *aliasQuery:
				heard[in.Release]["note"] = v.Answer != nil
			}
		}
	})
	for release, kinds := range heard {
		for _, k := range []string{"state", "note", typeDocument, typePermit, typeOrder, typeExchange, typeEdit, typeEpoch, typeEvents, typeReply} {
			if !kinds[k] {
				t.Errorf("of %s no %s is recorded", release, k)
			}
		}
	}
}

// An agent goes on whatever agents of earlier versions say, and understands it; what a later one
// says and it does not know it passes over, with some lines in its log and not with one for each.
func TestAgentHearsOtherVersions(t *testing.T) {
	for name, inputs := range map[string][]compat.Input{"earlier": compat.Recorded(t, "gossip"), "later": compat.OfTheFuture(t, "gossip")} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, worldDocument(manual))
			var log bytes.Buffer
			w.adjust = func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) }
			w.start("srv1")
			m := w.servers["srv1"]
			const times = 100
			for range times {
				for _, in := range inputs {
					for _, ev := range gossipOf(t, in) {
						if ev.From == "srv1" {
							continue
						}
						if _, err := on(t.Context(), m.agent.core, func() (struct{}, error) { m.agent.heard(m.agent.net, ev); return struct{}{}, nil }); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			m.cancel()
			<-m.ended
			if n := strings.Count(log.String(), "cannot be read"); name == "earlier" && n > 0 || n > 3 {
				t.Errorf("it says %d times that something cannot be read:\n%.3000s", n, log.String())
			}
			if name == "later" {
				if !strings.Contains(log.String(), "a message of srv2 cannot be read here") {
					t.Error("nobody is told that a message cannot be read")
				}
				if c := m.agent.peers.of("sb1").Claim; c == nil || c.Run != "later" || c.Revision != 1 || c.LIM(1).State != failover.Unknown {
					t.Errorf("what is known in a later version's state is not: %+v", c)
				}
			}
		})
	}
}

// FuzzState reads any state file: one that is damaged is put aside, and what is read is kept.
func FuzzState(f *testing.F) {
	for _, in := range append(compat.Recorded(f, "states"), compat.OfTheFuture(f, "states")...) {
		f.Add(in.Content)
	}
	path := filepath.Join(f.TempDir(), "agent.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := loadState(path)
		if p.LIMs == nil {
			t.Error("the state has no room for LIMs")
		}
		if err != nil {
			return
		}
		was, err := encodeState(p)
		if err != nil {
			return // a time that is none
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := loadState(path)
		if err != nil {
			t.Fatalf("what was read is written so that it cannot be read: %v", err)
		}
		if is, err := encodeState(again); err != nil || !bytes.Equal(is, was) {
			t.Errorf("written is %s, and then %s, %v", was, is, err)
		}
	})
}
