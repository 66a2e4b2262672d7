// Package member carries what servers say between them, on hashicorp/memberlist:
// each server's state, its heartbeat, and reliable messages, encrypted with the
// system's key. It knows nothing of the content it carries.
//
// Membership lists, joining and the slow spread of state to servers outside the
// cluster are memberlist's; whether a server's agent is alive is read from its
// heartbeats, which are sent straight to the servers that matter. All of it is
// authenticated before memberlist or this package reads any: datagrams by package
// seal, connections by TLS with a key pair that follows from the gossip key.
package member

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

const (
	keySize     = 32 // bytes
	eventBuffer = 64 // events that wait before the queue behind them grows
)

// Config says who this server is in the pool.
type Config struct {
	Name      string         // of this server; unique in the system
	Bind      netip.AddrPort // base address and port, UDP and TCP
	Keys      [][]byte       // of 32 bytes; the first seals, all are accepted
	Log       *slog.Logger
	Transport memberlist.Transport // nil: the network
	Guard     Guard                // nil: TLS
	Now       func() time.Time     // for the order of states across restarts, and arrival times
}

// Event is something heard from another server.
type Event struct {
	Kind    EventKind
	From    string    // Refused: "": nobody that was authentic
	At      time.Time // arrival; zero: second-hand, and no sign of life
	Sent    time.Time // by the sender's clock; zero: not known
	Payload []byte    // StateHeard, MessageHeard, NoteHeard; the receiver's own
	Refusal *Refusal  // Refused
	Form    string    // LaterHeard: the kind that is not known here
	Stale   bool      // BeatHeard, NoteHeard, LaterHeard: its state is another than the one heard last, and is being asked for
}

// EventKind tells events apart.
type EventKind int

// The kinds of events.
const (
	BeatHeard    EventKind = iota + 1 // a sign of life, nothing new
	StateHeard                        // a newer state of that server
	MessageHeard                      // a message for this server alone
	Refused                           // something was not believed; told now and then
	LaterHeard                        // one of a kind that a later version may know: a sign of life, its content is passed over
	NoteHeard                         // a short one that came in a datagram (see [Pool.Tell])
)

// Pool is this server's end of the pool. Its methods may be called by several
// goroutines at once.
type Pool struct {
	cfg    Config
	list   *memberlist.Memberlist
	secure *secure // beneath the list, and what heartbeats and states go over
	queue  *queue
	events chan Event
	done   chan struct{}
	wg     sync.WaitGroup

	ending sync.Mutex // held while leaving and closing
	closed bool

	mu     sync.Mutex
	peers  map[string][]netip.AddrPort // where each server should be
	heard  map[string]netip.AddrPort   // where each server said last that it is
	own    record
	states map[string]record
	asked  map[string]time.Time
}

// Open enters the pool. Errors: the address cannot be bound (Failed, with a
// hint), the key has the wrong size (Invalid).
func Open(cfg Config) (*Pool, error) {
	if err := checkKeys(cfg.Keys); err != nil {
		return nil, err
	}
	p := newPool(cfg)
	err := p.enter()
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, fault.Wrap(err, fault.Invalid,
				fmt.Sprintf("find out who has it: ss -lntup 'sport = :%d'; or set gossip.port to a free one in mxcluster.yaml on all servers", cfg.Bind.Port()),
				"entering the pool at %s: another program has port %d", cfg.Bind, cfg.Bind.Port())
		}
		return nil, fault.Wrap(err, fault.Failed,
			fmt.Sprintf("check that %s is this server's base address", cfg.Bind.Addr()),
			"entering the pool at %s", cfg.Bind)
	}
	p.wg.Go(p.dispatch)
	return p, nil
}

// enter opens the port, or takes the transport that is given, and makes the member
// list on it.
func (p *Pool) enter() error {
	inner := p.cfg.Transport
	if inner == nil {
		opened, err := openSockets(p.cfg.Bind)
		if err != nil {
			return err
		}
		inner = opened
	}
	var err error
	if p.secure, err = newSecure(p.cfg, inner, p.isPeer, p.datagram, p.refused); err != nil {
		return errors.Join(err, inner.Shutdown())
	}
	if p.list, err = memberlist.Create(p.listConfig()); err != nil {
		return errors.Join(err, p.secure.Shutdown())
	}
	return nil
}

// datagram queues what another server's pool sent, with its time of arrival.
func (p *Pool) datagram(from string, source netip.AddrPort, _ time.Time, body []byte) {
	p.queue.put(incoming{at: p.cfg.Now(), body: body, from: from, source: source}, false)
}

// refused queues what is to be told of datagrams that were not believed.
func (p *Pool) refused(r Refusal) { p.queue.put(incoming{at: p.cfg.Now(), refusal: &r}, false) }

// isPeer tells whether a server of the system should have an address, or had it when it spoke last.
func (p *Pool) isPeer(at netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, known := range p.peers {
		if p.heard[name].Addr() == at || slices.ContainsFunc(known, func(k netip.AddrPort) bool { return k.Addr() == at }) {
			return true
		}
	}
	return false
}

func newPool(cfg Config) *Pool {
	return &Pool{
		cfg: cfg, queue: newQueue(), events: make(chan Event, eventBuffer), done: make(chan struct{}),
		peers: map[string][]netip.AddrPort{}, heard: map[string]netip.AddrPort{},
		states: map[string]record{}, asked: map[string]time.Time{},
		own: record{Origin: cfg.Name, Seq: firstSeq(cfg.Now())},
	}
}

func (p *Pool) listConfig() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = p.cfg.Name
	c.BindAddr, c.BindPort = p.cfg.Bind.Addr().String(), int(p.cfg.Bind.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.Transport = p.secure
	c.UDPBufferSize = partSize
	// Who is alive is read from heartbeats; the member list may follow at leisure.
	c.ProbeInterval, c.ProbeTimeout = 2*time.Second, 500*time.Millisecond
	c.GossipInterval = 200 * time.Millisecond
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = 2 * time.Second
	// A server that comes back with another base address takes its name back at once.
	c.DeadNodeReclaimTime = time.Nanosecond
	c.EnableCompression = false // states are small; compressing heartbeats costs more than it saves
	c.Delegate = &delegate{p}
	c.Logger = log.New(logWriter{p.cfg.Log}, "", 0)
	return c
}

// Events delivers what is heard, in order, until the pool is closed.
func (p *Pool) Events() <-chan Event { return p.events }

// SetPeers tells where the other servers should be. One whose base address is
// being moved may have several addresses; all are tried until it has spoken.
func (p *Pool) SetPeers(peers map[string][]netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers = maps.Clone(peers)
	delete(p.peers, p.cfg.Name)
	for name, at := range p.heard {
		if known, ok := p.peers[name]; ok && !slices.Contains(known, at) {
			delete(p.heard, name)
		}
	}
}

// Members returns the names of the servers that memberlist believes alive,
// this one left out.
func (p *Pool) Members() []string {
	var out []string
	for _, n := range p.list.Members() {
		if n.Name != p.cfg.Name {
			out = append(out, n.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Leave tells the others that this server leaves on purpose, waiting up to
// timeout. After Close it does nothing.
func (p *Pool) Leave(timeout time.Duration) error {
	p.ending.Lock()
	defer p.ending.Unlock()
	if p.closed {
		return nil // memberlist panics
	}
	return p.list.Leave(timeout)
}

// Close leaves the network without a word and ends Events; events that were not
// read yet may be lost. It may be called again.
func (p *Pool) Close() error {
	p.ending.Lock()
	defer p.ending.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.list.Shutdown()
	p.queue.close()
	close(p.done)
	p.wg.Wait()
	return err
}

// logWriter turns memberlist's log lines into debug records.
type logWriter struct{ log *slog.Logger }

var _ io.Writer = logWriter{}

// Write logs one line.
func (w logWriter) Write(b []byte) (int, error) {
	w.log.Debug("memberlist", "line", string(b))
	return len(b), nil
}
