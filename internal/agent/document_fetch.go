package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/member"
	"mxcluster/netops"
)

// askEvery is how often a joining server repeats its question.
const askEvery = 500 * time.Millisecond

// FetchDocument gets the cluster document from the agent at addr, for a server that joins and has
// no agent yet. It enters the gossip pool briefly, under a name that no server can have. Errors: no
// answer, or the key of another system (Unreachable); an invalid document (Invalid).
func FetchDocument(ctx context.Context, addr netip.AddrPort, keys [][]byte, log *slog.Logger) (*clusterconf.Document, error) {
	local, err := netops.Source(addr.Addr())
	if err != nil {
		return nil, fault.Wrap(err, fault.Unreachable, "check this server's network", "there is no way to %s", addr)
	}
	id := make([]byte, 6)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("making a name for joining: %w", err)
	}
	pool, err := member.Open(member.Config{
		Name: "(joining " + hex.EncodeToString(id) + ")", Keys: keys, Log: log, Now: time.Now,
		Bind: netip.AddrPortFrom(local, addr.Port()),
	})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	defer func() { _ = pool.Leave(200 * time.Millisecond) }() // nobody waits for the departure
	if _, err := pool.Join(addr); err != nil {
		return nil, fault.Wrap(err, fault.Unreachable, fault.HintOf(err), "no agent of the system answers at %s", addr)
	}
	return askDocument(ctx, pool, local, addr)
}

// askDocument asks every member of the pool until one answers.
func askDocument(ctx context.Context, pool *member.Pool, local netip.Addr, addr netip.AddrPort) (*clusterconf.Document, error) {
	request, err := json.Marshal(message{Type: typeDocumentRequest})
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for _, name := range pool.Members() {
			if err := pool.Send(ctx, name, request); err == nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Unreachable, fmt.Sprintf("make sure that no other machine has this server's address %s, and look at that agent's log", local),
				"the agent at %s is there, but does not hand out the cluster document in time", addr)
		case <-tick.C:
		case ev, ok := <-pool.Events():
			var m message
			if ok && ev.Kind == member.MessageHeard && json.Unmarshal(ev.Payload, &m) == nil && m.Type == typeDocument {
				return clusterconf.Parse("the document of "+ev.From, m.Document)
			}
		}
	}
}
