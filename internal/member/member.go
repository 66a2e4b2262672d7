// Package member carries what servers say between them, on hashicorp/memberlist:
// each server's state, its heartbeat, and reliable messages, encrypted with the
// system's key. It knows nothing of the content it carries.
//
// Membership lists, encryption, joining and the slow spread of state to servers
// outside the cluster are memberlist's; whether a server's agent is alive is
// read from its heartbeats, which are sent straight to the servers that matter.
package member

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// label keeps other memberlist users on the same port apart.
const label = "mxcluster"

const (
	keySize     = 32 // bytes: AES-256
	eventBuffer = 64 // events that wait before the queue behind them grows
)

// Config says who this server is in the pool.
type Config struct {
	Name      string         // of this server; unique in the system
	Bind      netip.AddrPort // base address and port, UDP and TCP
	Keys      [][]byte       // of 32 bytes: AES-256; the first encrypts, all are accepted
	Log       *slog.Logger
	Transport memberlist.Transport // nil: the network
	Now       func() time.Time     // for the order of states across restarts, and arrival times
}

// Event is something heard from another server.
type Event struct {
	Kind    EventKind
	From    string
	At      time.Time // arrival; zero: second-hand, and no sign of life
	Sent    time.Time // by the sender's clock; zero: not known
	Payload []byte    // StateHeard, MessageHeard; the receiver's own
	Stale   bool      // BeatHeard: its state is another than the one heard last, and is being asked for
}

// EventKind tells events apart.
type EventKind int

// The kinds of events.
const (
	BeatHeard    EventKind = iota + 1 // a sign of life, nothing new
	StateHeard                        // a newer state of that server
	MessageHeard                      // a message for this server alone
)

// Pool is this server's end of the pool. Its methods may be called by several
// goroutines at once.
type Pool struct {
	cfg    Config
	list   *memberlist.Memberlist
	ring   *memberlist.Keyring
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
	ring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("making the keyring: %w", err)
	}
	list, p, err := create(cfg, ring)
	if err != nil {
		if taken(cfg.Bind) {
			return nil, fault.Wrap(err, fault.Invalid,
				fmt.Sprintf("find out who has it: ss -lntup 'sport = :%d'; or set gossip.port to a free one in mxcluster.yaml on all servers", cfg.Bind.Port()),
				"entering the pool at %s: another program has port %d", cfg.Bind, cfg.Bind.Port())
		}
		return nil, fault.Wrap(err, fault.Failed,
			fmt.Sprintf("check that %s is this server's base address and that no other agent uses port %d", cfg.Bind.Addr(), cfg.Bind.Port()),
			"entering the pool at %s", cfg.Bind)
	}
	p.list = list
	p.wg.Go(p.dispatch)
	return p, nil
}

// taken reports whether another program listens where a pool is to.
func taken(bind netip.AddrPort) bool {
	stream, errStream := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(bind))
	if errStream == nil {
		stream.Close()
	}
	packets, errPackets := net.ListenUDP("udp", net.UDPAddrFromAddrPort(bind))
	if errPackets == nil {
		packets.Close()
	}
	return errors.Is(errStream, unix.EADDRINUSE) || errors.Is(errPackets, unix.EADDRINUSE)
}

// create makes a pool and its member list, over the network unless another
// transport is given.
func create(cfg Config, ring *memberlist.Keyring) (*memberlist.Memberlist, *Pool, error) {
	var opened *fromBase
	if cfg.Transport == nil {
		var err error
		if opened, err = openTransport(cfg); err != nil {
			return nil, nil, err
		}
		cfg.Transport = opened
	}
	p := newPool(cfg)
	p.ring = ring
	list, err := memberlist.Create(p.listConfig())
	if err != nil && opened != nil {
		err = errors.Join(err, opened.Shutdown())
	}
	return list, p, err
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
	c.Keyring = p.ring
	c.Label = label
	c.Transport = p.cfg.Transport
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
