package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"mxcluster/clusterconf"
	"mxcluster/internal/member"
	"mxcluster/internal/member/membernet"
	"mxcluster/internal/services"
	"mxcluster/netops"
)

var errDisk = errors.New("input/output error, on purpose")

// trouble is what is wrong with one server of a simulation: its agent can be
// paused, its clock can be wrong and its disk can fail or be slow. It stands
// between an agent and everything that the agent does.
type trouble struct {
	mu     sync.Mutex
	frozen chan struct{} // closed when the pause ends; nil: none
	clock  time.Duration // how far its clock is ahead
	disk   error         // of saving the state
	memory error         // of keeping it in the runtime folder
	store  error         // of writing the cluster document
	slow   time.Duration // each write to a disk takes that long
	unfit  string        // what the checks of LIMs say; "": they pass
	pace   time.Duration // each write of the document takes that long besides; it does not change
}

// freeze pauses the agent: it goes no further than to its next call of anything.
func (x *trouble) freeze() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.frozen == nil {
		x.frozen = make(chan struct{})
	}
}

func (x *trouble) thaw() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.frozen != nil {
		close(x.frozen)
		x.frozen = nil
	}
}

// pass waits while the agent is paused.
func (x *trouble) pass() {
	for {
		x.mu.Lock()
		frozen := x.frozen
		x.mu.Unlock()
		if frozen == nil {
			return
		}
		<-frozen
	}
}

// write is what a write to a disk comes to, which fails with what is at err.
func (x *trouble) write(failure *error) error {
	x.pass()
	x.mu.Lock()
	slow, err := x.slow, *failure
	x.mu.Unlock()
	if slow > 0 {
		pass(slow)
		x.pass()
	}
	return err
}

// noMemory is why the runtime folder takes nothing; nil: it does.
func (x *trouble) noMemory() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.memory
}

// noDisk is why the state folder takes nothing; nil: it does.
func (x *trouble) noDisk() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.disk
}

func (x *trouble) offset() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.clock
}

func (x *trouble) set(f func(x *trouble)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(x)
}

// unfitness is what the checks of LIMs say on the server.
func (x *trouble) unfitness() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.unfit
}

// shifted returns JSON with all its points in time moved, as a server with
// another clock would have written it, but for the times of files.
func shifted(raw []byte, by time.Duration) []byte {
	if by == 0 {
		return raw
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	out, err := json.Marshal(shiftAll(v, by))
	if err != nil {
		panic(err)
	}
	return out
}

func shiftAll(v any, by time.Duration) any {
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && !at.IsZero() {
			return at.Add(by).Format(time.RFC3339Nano)
		}
	case []any:
		for i := range v {
			v[i] = shiftAll(v[i], by)
		}
	case map[string]any:
		for k := range v {
			if k != "newest" {
				v[k] = shiftAll(v[k], by)
			}
		}
	}
	return v
}

// troubled puts a server's trouble between its agent and its effects.
func (w *world) troubled(x *trouble, m *machine, line *roughLine, d Deps) Deps {
	openWire, pruned := d.OpenWire, d.Prune
	d.Kernel = troubledKernel{d.Kernel, x}
	d.OpenWire = func(ifname string) (Wire, error) {
		wire, err := openWire(ifname)
		if err != nil {
			return nil, err
		}
		return troubledWire{wire, x, line}, nil
	}
	d.OpenPool = func(bind netip.AddrPort, keys [][]byte) (Pool, error) { return w.troubledPool(x, m, bind, keys) }
	d.Keys = &troubledKeys{d.Keys, x}
	d.Documents = troubledDocuments{d.Documents, x}
	d.State = &troubledState{d.State, x}
	d.Room = func() error { x.pass(); return errors.Join(x.noDisk(), x.noMemory()) }
	d.Ability = func(context.Context, *clusterconf.LIM, services.Env) (failed, unknown string) {
		x.pass()
		return x.unfitness(), ""
	}
	d.Prune = func(ctx context.Context, lim int) (int, error) { x.pass(); return pruned(ctx, lim) }
	return d
}

type troubledKernel struct {
	Kernel
	x *trouble
}

func (k troubledKernel) Hold(ifname string, alias netip.Prefix, lease time.Duration) error {
	k.x.pass()
	return k.Kernel.Hold(ifname, alias, lease)
}

func (k troubledKernel) HoldBehind(ifname string, alias netip.Prefix, lease time.Duration) error {
	k.x.pass()
	return k.Kernel.HoldBehind(ifname, alias, lease)
}

func (k troubledKernel) Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error {
	k.x.pass()
	return k.Kernel.Extend(ifname, alias, lease, until)
}

func (k troubledKernel) Drop(ifname string, alias netip.Prefix) error {
	k.x.pass()
	return k.Kernel.Drop(ifname, alias)
}

func (k troubledKernel) Addresses(ifname string) ([]netops.Address, error) {
	k.x.pass()
	return k.Kernel.Addresses(ifname)
}

// troubledWire delays, loses and doubles frames besides.
type troubledWire struct {
	Wire
	x    *trouble
	line *roughLine
}

func (w troubledWire) Ask(from, target netip.Addr, to net.HardwareAddr) error {
	return w.send(func() error { return w.Wire.Ask(from, target, to) })
}

func (w troubledWire) Echo(from, target netip.Addr, to net.HardwareAddr) error {
	return w.send(func() error { return w.Wire.Echo(from, target, to) })
}

// send sends a frame as the line is; one that comes late is sent, as far as the agent knows.
func (w troubledWire) send(frame func() error) error {
	w.x.pass()
	for _, late := range w.line.delays() {
		if late > 0 {
			time.AfterFunc(late, func() { _ = frame() })
		} else if err := frame(); err != nil {
			return err
		}
	}
	return nil
}

func (w troubledWire) Announce(addr netip.Addr) error { w.x.pass(); return w.Wire.Announce(addr) }

type troubledDocuments struct {
	Documents
	x *trouble
}

func (d troubledDocuments) Adopt(ctx context.Context, doc *clusterconf.Encoded) (clusterconf.Adoption, error) {
	if err := d.write(); err != nil {
		return clusterconf.Adoption{}, err
	}
	return d.Documents.Adopt(ctx, doc)
}

func (d troubledDocuments) Edit(ctx context.Context, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error) {
	if err := d.write(); err != nil {
		return clusterconf.Result{}, err
	}
	return d.Documents.Edit(ctx, change, fn)
}

func (d troubledDocuments) EditFrom(ctx context.Context, hash string, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error) {
	if err := d.write(); err != nil {
		return clusterconf.Result{}, err
	}
	return d.Documents.EditFrom(ctx, hash, change, fn)
}

func (d troubledDocuments) SetAside(ctx context.Context, found clusterconf.Found, doc *clusterconf.Encoded) (string, error) {
	if err := d.write(); err != nil {
		return "", err
	}
	return d.Documents.SetAside(ctx, found, doc)
}

func (d troubledDocuments) TakeByHand(ctx context.Context, found clusterconf.Found, before *clusterconf.Encoded, change clusterconf.Change) (clusterconf.Result, error) {
	if err := d.write(); err != nil {
		return clusterconf.Result{}, err
	}
	return d.Documents.TakeByHand(ctx, found, before, change)
}

func (d troubledDocuments) Remember(doc *clusterconf.Encoded) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Documents.Remember(doc)
}

func (d troubledDocuments) write() error {
	if d.x.pace > 0 {
		pass(d.x.pace)
	}
	return d.x.write(&d.x.store)
}

// troubledState is the state file, written by the clock of its server.
type troubledState struct {
	StateFile
	x *trouble
}

func (s *troubledState) Load() (persisted, error) {
	p, err := s.StateFile.Load()
	return shiftedState(p, -s.x.offset()), err
}

func (s *troubledState) Keep(p persisted) error {
	s.x.pass()
	if err := s.x.noMemory(); err != nil {
		return err
	}
	return s.StateFile.Keep(shiftedState(p, s.x.offset()))
}

func (s *troubledState) Save(p persisted) error {
	if err := s.x.write(&s.x.disk); err != nil {
		return err
	}
	return s.StateFile.Save(shiftedState(p, s.x.offset()))
}

func shiftedState(p persisted, by time.Duration) persisted {
	if by == 0 {
		return p
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	var out persisted
	if err := json.Unmarshal(shifted(raw, by), &out); err != nil {
		panic(err)
	}
	return out
}

// troubledPool is the real pool of a server in trouble.
type troubledPool struct {
	*member.Pool
	x      *trouble
	events chan member.Event
}

func (w *world) troubledPool(x *trouble, m *machine, bind netip.AddrPort, keys [][]byte) (Pool, error) {
	end, err := w.listen(m.name, bind)
	if err != nil {
		return nil, err
	}
	pool, err := member.Open(member.Config{
		Name: m.name, Bind: bind, Keys: keys, Log: slog.New(slog.DiscardHandler),
		Transport: newTroubledTransport(end, x), Guard: membernet.ShowKeys, Now: func() time.Time { return time.Now().Add(x.offset()) },
	})
	if err != nil {
		return nil, fmt.Errorf("opening the pool: %w", err)
	}
	p := &troubledPool{Pool: pool, x: x, events: make(chan member.Event)}
	go func() {
		defer close(p.events)
		for ev := range pool.Events() {
			if !ev.At.IsZero() {
				ev.At = time.Now() // arrival goes by the monotonic clock, which nobody sets
			}
			x.pass()
			if ev.Kind == member.StateHeard {
				ev.Payload = shifted(ev.Payload, -x.offset())
			}
			p.events <- ev
		}
	}()
	return p, nil
}

func (p *troubledPool) Events() <-chan member.Event { return p.events }

func (p *troubledPool) Publish(payload []byte) {
	p.x.pass()
	p.Pool.Publish(shifted(payload, p.x.offset()))
}

func (p *troubledPool) Beat(names ...string) { p.x.pass(); p.Pool.Beat(names...) }
func (p *troubledPool) Ask(name string)      { p.x.pass(); p.Pool.Ask(name) }

// troubledTransport neither sends nor receives while the agent is paused: what
// arrives meanwhile waits in the socket.
type troubledTransport struct {
	*membernet.Endpoint
	x       *trouble
	packets chan *memberlist.Packet
	closed  chan struct{}
	once    sync.Once
}

func newTroubledTransport(end *membernet.Endpoint, x *trouble) *troubledTransport {
	t := &troubledTransport{Endpoint: end, x: x, packets: make(chan *memberlist.Packet), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case <-t.closed:
				return
			case p := <-end.PacketCh():
				x.pass()
				select {
				case <-t.closed:
					return
				case t.packets <- p:
				}
			}
		}
	}()
	return t
}

func (t *troubledTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

func (t *troubledTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	t.x.pass()
	return t.Endpoint.WriteTo(b, addr)
}

func (t *troubledTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	t.x.pass()
	return t.Endpoint.DialTimeout(addr, timeout)
}

func (t *troubledTransport) Shutdown() error {
	t.once.Do(func() { close(t.closed) })
	return t.Endpoint.Shutdown()
}
