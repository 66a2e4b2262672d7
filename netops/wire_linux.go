package netops

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/socket"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fanout"
	"mxcluster/internal/fault"
)

// Wire sends and receives ARP and neighbour discovery on one Ethernet interface, beside the kernel,
// which goes on answering for its addresses. When the interface goes down or is removed and comes
// back, the wire works again. It is safe for concurrent use.
type Wire struct {
	ifname string
	conn   *socket.Conn
	heard  fanout.Fanout[Observation]
	echoed fanout.Fanout[Echo]
	echoes echoes
	sent   atomic.Uint64 // frames of ARP and neighbour discovery sent by the wire and the kernel
	done   chan struct{} // closed by Close
	close  func() error

	reading        sync.Mutex // held from reading a frame until subscribers have it
	frame, control []byte     // of the frame being read
	dropped        uint64     // by the kernel, as they were not read in time

	mu    sync.Mutex
	index int // of the bound interface
	mac   net.HardwareAddr
}

const (
	// receiveBuffer holds the frames that arrive while the process is stopped for seconds.
	receiveBuffer = 1 << 20
	// retryWait is the pause of the reader after an error.
	retryWait = 50 * time.Millisecond
	// sendLimit bounds sending when the driver's queue is stuck.
	sendLimit = 500 * time.Millisecond
)

// OpenWire opens the interface in the calling thread's network namespace. It
// needs CAP_NET_RAW, else the error is fault.NotPermitted; a missing interface
// is fault.NotFound, one that is not Ethernet fault.Refused.
func OpenWire(ifname string) (*Wire, error) {
	if l, err := netlink.LinkByName(ifname); err == nil {
		ifname = l.Attrs().Name // it may have been asked for by an alternative name
	}
	// Protocol 0 receives nothing until the socket is bound to the interface.
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0, "packet", nil)
	if err != nil {
		return nil, wrap(err, "open a packet socket on %s", ifname)
	}
	w := &Wire{ifname: ifname, conn: conn, heard: fanout.Fanout[Observation]{Depth: heardDepth}, done: make(chan struct{}),
		frame: make([]byte, neighbourMost), control: make([]byte, 128), echoed: fanout.Fanout[Echo]{Depth: heardDepth}}
	w.echoes = newEchoes()
	w.close = sync.OnceValue(func() error {
		close(w.done)
		return wrap(conn.Close(), "close the packet socket on %s", ifname)
	})
	err = errors.Join(
		setFilter(conn, w.echoes.id),
		conn.SetReadBuffer(receiveBuffer),
		conn.SetsockoptInt(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
	)
	if err == nil {
		err = w.bind()
	}
	if errors.Is(err, unix.ENODEV) {
		err = NoInterface(ifname, interfaceNames())
	}
	if err != nil {
		_ = w.close() // an unused socket
		return nil, wrap(err, "open a packet socket on %s", ifname)
	}
	go w.read()
	return w, nil
}

// Subscribe returns a channel with every ARP frame, neighbour solicitation and advertisement
// received from now on, except the wire's own. It is closed when ctx ends or the wire is closed. A
// slow subscriber loses the oldest frames.
func (w *Wire) Subscribe(ctx context.Context) <-chan Observation { return w.heard.Subscribe(ctx) }

// Echoes returns a channel with every answer to the wire's echoes, like Subscribe.
func (w *Wire) Echoes(ctx context.Context) <-chan Echo { return w.echoed.Subscribe(ctx) }

// Sent returns how many frames of ARP and neighbour discovery were sent on the interface since the
// wire was opened, including the kernel's. An announcement of an IPv4 address is two frames.
func (w *Wire) Sent() uint64 { return w.sent.Load() }

// Lost returns how many frames slow subscribers have lost.
func (w *Wire) Lost() uint64 { return w.heard.Lost() }

// CatchUp delivers all frames that have arrived and were not read, as in a process that was stopped
// or lacks processor time. It returns how many frames the kernel has dropped since the wire was
// opened because they were not read. It is called before silence is taken as evidence.
func (w *Wire) CatchUp() (lost uint64, err error) {
	const most = 10000 // more than the buffer can hold
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		w.reading.Lock()
		defer w.reading.Unlock()
		for more, n := true, 0; more && n < most; n++ {
			more, failed = w.take(int(fd))
		}
		stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			w.dropped += uint64(stats.Drops) // the kernel resets its counter
		}
		failed = cmp.Or(failed, err)
		lost = w.dropped
	})
	if failed != nil && !isClosed(failed) {
		go w.recover() // the reader does not get an error that was returned here
	}
	return lost, wrap(cmp.Or(err, failed), "read what was heard on %s", w.ifname)
}

// Close ends all subscriptions.
func (w *Wire) Close() error { return w.close() }

// Ask asks who has target, with from as sender address, at one station, or of all if to is nil.
// From 0.0.0.0, or :: for IPv6, it is a probe (RFC 5227, RFC 4862), which changes no neighbour
// cache. Sending on an interface that is down is an error.
func (w *Wire) Ask(from, target netip.Addr, to net.HardwareAddr) error {
	err := w.send(func(own net.HardwareAddr) Observation { return WhoHas(own, from, target, to) })
	return wrap(err, "ask for %s on %s", target, w.ifname)
}

// Echo sends an ICMP echo for target to the station with a MAC address, with from as sender
// address, and without ARP.
func (w *Wire) Echo(from, target netip.Addr, to net.HardwareAddr) error {
	err := w.sendFrame(func(own net.HardwareAddr) (outgoing, error) {
		data, err := w.echoes.appendFrame(make([]byte, 0, echoFrameMost), own, to, from, target, time.Now())
		return outgoing{data: data, to: to, protocol: etherTypeOf(target, ethTypeIPv4)}, err
	})
	return wrap(err, "send an echo to %s on %s", target, w.ifname)
}

// Announce announces addr at this interface: by gratuitous ARP, as a request and as a reply, or by
// an unsolicited neighbour advertisement.
func (w *Wire) Announce(addr netip.Addr) error {
	var first error
	for i := range Announcement(nil, addr) {
		err := w.send(func(own net.HardwareAddr) Observation { return Announcement(own, addr)[i] })
		first = cmp.Or(first, err)
	}
	return wrap(first, "announce %s on %s", addr, w.ifname)
}

// outgoing is an Ethernet frame to be sent.
type outgoing struct {
	data     []byte
	to       net.HardwareAddr
	protocol uint16
}

// etherTypeOf returns the protocol of an address's family; of4 is that for IPv4.
func etherTypeOf(addr netip.Addr, of4 uint16) uint16 {
	if addr.Is4() {
		return of4
	}
	return ethTypeIPv6
}

// send sends a frame of ARP or neighbour discovery and counts it.
func (w *Wire) send(build func(own net.HardwareAddr) Observation) error {
	err := w.sendFrame(func(own net.HardwareAddr) (outgoing, error) {
		o := build(own)
		data, err := o.AppendFrame(make([]byte, 0, neighbourFrame))
		return outgoing{data: data, to: o.EthDst, protocol: etherTypeOf(o.SenderIP, ethTypeARP)}, err
	})
	if err == nil {
		w.sent.Add(1)
	}
	return err
}

// sendFrame builds a frame with the present MAC and sends it. It tries twice, since the first error
// may be outdated: that the interface was down, or that it was removed and is back.
func (w *Wire) sendFrame(build func(own net.HardwareAddr) (outgoing, error)) error {
	err := w.sendOnce(build)
	if err == nil || isClosed(err) {
		return err
	}
	if w.bind() != nil {
		return err
	}
	return w.sendOnce(build)
}

// sendOnce checks the carrier as well: without one the kernel accepts the frame, drops it, and
// reports success. The check comes afterwards, as the carrier may be lost in between.
func (w *Wire) sendOnce(build func(own net.HardwareAddr) (outgoing, error)) error {
	index, mac, err := w.station()
	if err != nil {
		return err
	}
	f, err := build(mac)
	if err != nil {
		return err
	}
	// The socket's deadline is shared by all senders, and cheaper than contexts; a later one only
	// gives others more time.
	if err := w.conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(f.protocol), Ifindex: index, Halen: macLen}
	copy(to.Addr[:], f.to)
	if err := w.conn.Sendto(context.Background(), f.data, 0, to); err != nil {
		return err
	}
	found, err := w.lookup()
	if err == nil && !found.running {
		err = os.NewSyscallError("sendto", unix.ENETDOWN)
	}
	return err
}

// station returns the bound interface and its present MAC address, which an administrator or a bond
// may change.
func (w *Wire) station() (int, net.HardwareAddr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sa, err := w.conn.Getsockname()
	if err != nil {
		return 0, nil, err
	}
	own := sa.(*unix.SockaddrLinklayer)
	if own.Halen != macLen {
		return 0, nil, os.NewSyscallError("bind", unix.ENODEV)
	}
	if !bytes.Equal(w.mac, own.Addr[:macLen]) {
		w.mac = bytes.Clone(own.Addr[:macLen])
	}
	return w.index, w.mac, nil
}

// bind binds the socket to the interface with the wire's name, if it is a new one.
func (w *Wire) bind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	found, err := w.lookup()
	if err != nil || found.index == w.index {
		return err
	}
	if found.hardware != unix.ARPHRD_ETHER {
		return fault.New(fault.Refused, "name an Ethernet interface", "%s is not an Ethernet interface", w.ifname)
	}
	err = w.conn.Bind(&unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: found.index})
	if err != nil {
		return err
	}
	w.index = found.index
	return nil
}

// interfaceNames returns the interfaces in the namespace of the calling thread, for a hint.
func interfaceNames() []string {
	var names []string
	interfaces, _ := net.Interfaces() // without a list there is no hint
	for _, i := range interfaces {
		names = append(names, i.Name)
	}
	return names
}
