package member

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recordEnv names a file that says what [TestRecord] does.
const recordEnv = "MXCLUSTER_TEST_RECORD_GOSSIP"

// recording says as whom, and where to, what the other servers of a system say is recorded.
type recording struct {
	Name  string                    `json:"name"`
	Bind  netip.AddrPort            `json:"bind"`
	Key   []byte                    `json:"key"`
	Peers map[string]netip.AddrPort `json:"peers"`
	Dir   string                    `json:"dir"`  // gets the files
	Like  string                    `json:"like"` // the server whose state it says, too, under its own name
	Age   uint64                    `json:"age"`  // is added to the document's revision that it says to have
	Send  []string                  `json:"send"` // messages to all, one a second

	keys any // that the first state of that server named
}

// TestRecord takes a server's place on the gossip port, and writes down what the others say to it:
// the lab runs it in a server's namespaces, until a file named stop is in its folder. It is part of
// recording the inputs of package compat, and by itself does nothing.
func TestRecord(t *testing.T) {
	if os.Getenv(recordEnv) == "" {
		return
	}
	raw, err := os.ReadFile(os.Getenv(recordEnv))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(r.Name, r.Bind)
	cfg.Keys = [][]byte{r.Key}
	p := newPool(cfg)
	if err := p.enter(); err != nil {
		t.Fatal(err)
	}
	peers := map[string][]netip.AddrPort{}
	for name, at := range r.Peers {
		peers[name] = []netip.AddrPort{at}
	}
	p.SetPeers(peers)
	go func() {
		for in, ok := p.queue.take(); ok; in, ok = p.queue.take() {
			if in.refusal != nil {
				continue
			}
			if err := r.keep(in); err != nil {
				t.Error(err)
			}
			if !in.states { // or the states would not come by themselves any more
				p.receive(in)
			}
			r.answer(t, p, in.body)
		}
	}()
	defer p.queue.close()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		<-ticker.C
		if _, err := os.Stat(filepath.Join(r.Dir, "stop")); err == nil {
			return
		}
		r.speak(t, p, n)
	}
}

// speak has the others take this for a server of the system.
func (r *recording) speak(t *testing.T, p *Pool, turn int) {
	t.Helper()
	for name, at := range r.Peers {
		p.Ask(name)
		if turn%20 == 0 {
			_, _ = p.Join(at) // once a second
			_ = p.Send(t.Context(), name, []byte(r.Send[turn/20%len(r.Send)]))
			p.Tell(name, []byte(`{"id":7,"lim":1}`))
		}
	}
	p.mu.Lock()
	like := bytes.Clone(p.states[r.Like].Payload)
	p.mu.Unlock()
	var claim map[string]any
	d := json.NewDecoder(bytes.NewReader(like))
	d.UseNumber()
	if d.Decode(&claim) != nil {
		return
	}
	claim["server"], claim["run"] = r.Name, "recorded-"+filepath.Base(r.Dir)
	for _, key := range []string{"lims", "mac", "macs", "isolated", "leaving"} {
		delete(claim, key)
	}
	if r.keys == nil {
		r.keys = claim["keys"]
	}
	claim["keys"] = r.keys
	if r.Age > 0 {
		var revision uint64
		fmt.Sscan(fmt.Sprint(claim["revision"]), &revision)
		claim["revision"] = revision + r.Age
	}
	own, err := json.Marshal(claim)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	said := bytes.Equal(own, p.own.Payload)
	p.mu.Unlock()
	if !said {
		p.Publish(own)
	}
}

// answer permits every order, and refuses all else that wants an answer.
func (r *recording) answer(t *testing.T, p *Pool, body []byte) {
	t.Helper()
	var e struct {
		Origin string `json:"o"`
		Kind   string `json:"k"`
		Asked  struct {
			Type string `json:"type"`
			ID   string `json:"id"`

			Order struct {
				DrainCalls int64 `json:"drainCallsNs"`
			} `json:"order"`
		} `json:"p"`
	}
	if json.Unmarshal(body, &e) != nil || e.Kind != kindMessage || e.Asked.ID == "" || e.Asked.Type == "order-reply" {
		return
	}
	reply := fmt.Sprintf(`{"type":"order-reply","id":%q,"error":{"code":3,"message":"this is a recording"}}`, e.Asked.ID)
	switch e.Asked.Type {
	case "order-permit":
		reply = fmt.Sprintf(`{"type":"order-reply","id":%q,"permit":"recorded","drains":true}`, e.Asked.ID)
	case "order":
		if e.Asked.Order.DrainCalls > 0 {
			return // who gave it goes on waiting
		}
		reply = fmt.Sprintf(`{"type":"order-reply","id":%q,"result":{"accepted":true,"target":"sb1","text":"it is on its way"}}`, e.Asked.ID)
	}
	go func() { _ = p.Send(t.Context(), e.Origin, []byte(reply)) }() // a server may go away
}

// keep writes down what came, once of each kind from each server; of states the longest.
func (r *recording) keep(in incoming) error {
	name := "states"
	if !in.states {
		var e envelope
		if err := json.Unmarshal(in.body, &e); err != nil {
			return err
		}
		var m struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(e.Payload, &m) // where it is a message
		name = strings.Join([]string{e.Origin, e.Kind, m.Type}, "-")
		name = strings.TrimSuffix(name, "-")
	}
	path := filepath.Join(r.Dir, r.Name+"-hears-"+name+".json")
	if old, err := os.ReadFile(path); err == nil && len(old) >= len(in.body) {
		return nil
	}
	return os.WriteFile(path, in.body, 0o644)
}
