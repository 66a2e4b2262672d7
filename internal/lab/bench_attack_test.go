//go:build linux

package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
	"mxcluster/netops"
)

// attacker is a host on the switch that has no key, and what it attacks.
type attacker struct {
	*contender
	tap  *net.Interface // for whole frames
	host *netns.NS      // for connections
	talk [][]byte       // frames with what srv1 said to sb1 for some seconds
	sent atomic.Int64
}

const (
	listenFor   = 3 * time.Second // to what the servers say, before
	vrrp        = 112             // protocol of keepalived's advertisements
	gossipPort  = 7946            // of mxcluster
	floodFrames = 20_000          // different ones that a flood is made of
)

// attacks are what is measured, each for MXCLUSTER_BENCH_SECONDS. Those with
// true are measured beside keepalived, too.
func attacks() map[string]struct {
	what       string
	keepalived bool
	run        func(context.Context, *attacker) error
} {
	type attack = struct {
		what       string
		keepalived bool
		run        func(context.Context, *attacker) error
	}
	spoof := func(rate int) attack {
		return attack{fmt.Sprintf("claims with the other's MAC, %d/s", rate), true, func(ctx context.Context, x *attacker) error { return x.claim(ctx, rate) }}
	}
	return map[string]attack{
		"none":    {"nothing", true, func(ctx context.Context, _ *attacker) error { <-ctx.Done(); return nil }},
		"version": {"a recorded datagram, version byte changed, 100/s", false, func(ctx context.Context, x *attacker) error { return x.datagrams(ctx, 100, 1, x.corrupt(2)) }},
		"replay":  {"recorded heartbeats, 20/s, beside a power cut", true, func(ctx context.Context, x *attacker) error { return x.replay(ctx, 20) }},
		"spoof-1": spoof(1), "spoof-20": spoof(20), "spoof-200": spoof(200),
		"connections": {"100 connections of 20 MB", false, func(ctx context.Context, x *attacker) error { return x.connect(ctx, 100, 20<<20) }},
		"arp":         {"ARP requests of made-up MACs, 50,000/s", true, func(ctx context.Context, x *attacker) error { return x.send(ctx, 50_000, x.strangers()) }},
		"packets": {"a recorded datagram, one bit changed, up to 300,000/s", false, func(ctx context.Context, x *attacker) error {
			return x.datagrams(ctx, 300_000, batch, x.corrupt(-1))
		}},
	}
}

// attackScenarios are the attacks on each contender.
func attackScenarios() map[string]Scenario {
	all := map[string]Scenario{}
	for name, a := range attacks() {
		all["attack-"+name] = func(ctx context.Context, l *Lab) error { return benchAttack(ctx, l, mxclusterContender, a.what, a.run) }
		if a.keepalived {
			all["attack-"+name+"-keepalived"] = func(ctx context.Context, l *Lab) error {
				return benchAttack(ctx, l, keepalivedContender, a.what, a.run)
			}
		}
	}
	return all
}

// benchAttack measures the service while it is attacked, and what that costs the daemons.
func benchAttack(ctx context.Context, l *Lab, contend func(context.Context, *Lab) (*contender, error), what string, attack func(context.Context, *attacker) error) error {
	c, err := contend(ctx, l)
	if err != nil {
		return err
	}
	x, err := newAttacker(ctx, c)
	if err != nil {
		return err
	}
	before := x.usages(ctx)
	limited, cancel := context.WithTimeout(ctx, benchTime())
	defer cancel()
	from := time.Now()
	err = attack(limited, x)
	to := time.Now()
	after := x.usages(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, time.Second); err != nil { // for the last answers
		return err
	}
	s := x.caller.Between(from, to)
	var cpu time.Duration
	var peak int64
	for name, u := range after {
		cpu, peak = max(cpu, u.cpu-before[name].cpu), max(peak, u.peak)
	}
	row(c.name+": "+what, fmt.Sprintf("%d a second", int(float64(x.sent.Load())/to.Sub(from).Seconds())),
		fmt.Sprintf("served %.2f %%", 100*float64(s.Calls-s.Lost)/float64(max(s.Calls, 1))), "silence "+milliseconds(max(s.Silence, to.Sub(x.caller.lastAnswer()))), "by "+strings.Join(s.By, ", "),
		fmt.Sprintf("processor %.0f %%", 100*cpu.Seconds()/to.Sub(from).Seconds()), fmt.Sprintf("memory %.0f MB", float64(peak)/1e6))
	return nil
}

// newAttacker plugs the attacker in and has it listen for a while.
func newAttacker(ctx context.Context, c *contender) (*attacker, error) {
	x, err := c.newForeignHost()
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, listenFor); err != nil { // until all is settled
		return nil, err
	}
	x.talk, err = x.listen(ctx)
	return x, err
}

// newForeignHost plugs a host in that has no key.
func (c *contender) newForeignHost() (*attacker, error) {
	x := &attacker{contender: c}
	var err error
	if x.tap, err = c.network.addTap("attacker", net.HardwareAddr{2, 0, 0x5e, 0, 9, 9}); err == nil {
		x.host, err = c.network.addClient("stranger", net.HardwareAddr{2, 0, 0x5e, 0, 9, 8}, labAddress(200))
	}
	return x, err
}

// listen records what srv1 says to sb1, as somebody sees it who can mirror a port.
func (x *attacker) listen(ctx context.Context) ([][]byte, error) {
	port, err := net.InterfaceByName(x.srv1.Name)
	if err != nil {
		return nil, fmt.Errorf("looking for the switch's port: %w", err)
	}
	conn, err := packet.Listen(port, packet.Raw, unix.ETH_P_ALL, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(listenFor)); err != nil {
		return nil, err
	}
	var frames [][]byte
	buf := make([]byte, 2000)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			break // the time is over
		}
		if f := buf[:n]; x.heartbeat(f) {
			frames = append(frames, x.withOwnMAC(slices.Clone(f)))
		}
	}
	if len(frames) == 0 {
		return nil, errors.Join(errors.New("srv1 says nothing to sb1"), ctx.Err())
	}
	return frames, nil
}

// heartbeat tells whether a frame is one by which srv1 says that it lives.
func (x *attacker) heartbeat(f []byte) bool {
	if len(f) < 42 || binary.BigEndian.Uint16(f[12:]) != unix.ETH_P_IP {
		return false
	}
	source, dest := netip.AddrFrom4([4]byte(f[26:30])), netip.AddrFrom4([4]byte(f[30:34]))
	if source != x.srv1.Base().Addr() {
		return false
	}
	return f[23] == vrrp || f[23] == unix.IPPROTO_UDP && dest == x.standby.Base().Addr() && binary.BigEndian.Uint16(f[36:]) == gossipPort
}

// withOwnMAC gives a frame the attacker's MAC address; all else stays, but for the checksum
// of UDP, which the sender's card would have made.
func (x *attacker) withOwnMAC(f []byte) []byte {
	copy(f[6:], x.tap.HardwareAddr)
	if f[23] == unix.IPPROTO_UDP {
		f[40], f[41] = 0, 0
	}
	return f
}

// corrupt is a recorded message with a byte of it changed, counted from its beginning
// or, below 0, its end.
func (x *attacker) corrupt(at int) []byte {
	f := x.talk[0]
	message := slices.Clone(f[14+20+8 : 14+int(binary.BigEndian.Uint16(f[16:]))])
	if at < 0 {
		at += len(message)
	}
	message[at] ^= 1
	return message
}

// batch is how many datagrams the kernel makes of one call.
const batch = 64

// datagrams sends a message to the gossip ports of both servers in turn, so many a second
// at the most, until ctx ends.
func (x *attacker) datagrams(ctx context.Context, rate, each int, message []byte) error {
	var to []net.Conn
	err := x.host.Do(func() error {
		for _, s := range []*Server{x.srv1, x.standby} {
			conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.Base().Addr(), gossipPort)))
			if err != nil {
				return err
			}
			to = append(to, conn)
			raw, err := conn.SyscallConn()
			if err != nil {
				return err
			}
			var failed error
			err = raw.Control(func(fd uintptr) {
				if each > 1 {
					failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, len(message))
				}
			})
			if err := errors.Join(err, failed); err != nil {
				return err
			}
		}
		return nil
	})
	for _, conn := range to {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	all := bytes.Repeat(message, each)
	return x.sendPaced(ctx, rate/each, func(n int) {
		if _, err := to[n%len(to)].Write(all); err == nil { // one that is not taken is lost
			x.sent.Add(int64(each))
		}
	})
}

// strangers are ARP requests of many hosts for others.
func (x *attacker) strangers() [][]byte {
	var out [][]byte
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for i := range floodFrames {
		mac := net.HardwareAddr{2, 0x66, 0, 0, byte(i >> 8), byte(i)}
		f, err := netops.Observation{Op: netops.Request, EthSrc: mac, EthDst: everybody, SenderMAC: mac, SenderIP: labAddress(byte(120 + i%40)).Addr(),
			TargetMAC: make(net.HardwareAddr, len(mac)), TargetIP: labAddress(byte(160 + i%40)).Addr()}.AppendFrame(nil)
		if err == nil {
			out = append(out, f)
		}
	}
	return out
}

// send sends frames in turn, so many a second at the most, until ctx ends.
func (x *attacker) send(ctx context.Context, rate int, frames [][]byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket for whole frames: %w", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: x.tap.Index}
	return x.sendPaced(ctx, rate, func(n int) {
		if unix.Sendto(fd, frames[n%len(frames)], 0, to) == nil { // the same
			x.sent.Add(1)
		}
	})
}

// sendPaced does something so many times a second at the most, until ctx ends.
func (x *attacker) sendPaced(ctx context.Context, rate int, do func(n int)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began, n := time.Now(), 0; ; {
		for due := int(time.Since(began).Seconds() * float64(rate)); n < due && ctx.Err() == nil; n++ {
			do(n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// claim says to the holder alone that the standby's MAC address has the alias.
func (x *attacker) claim(ctx context.Context, rate int) error {
	f, err := netops.Observation{Op: netops.Reply, EthDst: x.srv1.MAC, EthSrc: x.tap.HardwareAddr, SenderMAC: x.standby.MAC, SenderIP: x.alias.Addr(),
		TargetMAC: make(net.HardwareAddr, len(x.srv1.MAC)), TargetIP: x.alias.Addr()}.AppendFrame(nil)
	if err != nil {
		return err
	}
	return x.send(ctx, rate, [][]byte{f})
}

// replay sends what was recorded again while srv1 loses its power.
func (x *attacker) replay(ctx context.Context, rate int) error {
	cut := make(chan error, 1)
	go func() {
		err := wait(ctx, time.Second)
		if err == nil {
			err = x.srv1.PowerCut()
		}
		cut <- err
	}()
	return errors.Join(x.send(ctx, rate, x.talk), <-cut)
}

// connect makes connections to the gossip port that each announce and send a long first
// message, again and again.
func (x *attacker) connect(ctx context.Context, at int, size int) error {
	to := netip.AddrPortFrom(x.srv1.Base().Addr(), gossipPort).String()
	block := make([]byte, 16<<10+5)
	_, _ = rand.Read(block)                            // never fails
	copy(block, []byte{22, 3, 1, 0x40, 0})             // a record of 16 KiB
	copy(block[5:], []byte{1, 0xff, 0xff, 0xff, 3, 3}) // of a first message of 16 MiB
	one := func() {
		var conn net.Conn
		err := x.host.Do(func() (err error) {
			conn, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", to)
			return err
		})
		if err != nil {
			return
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		x.sent.Add(1)
		for sent := 0; sent < size; {
			n, err := conn.Write(block)
			if err != nil {
				return
			}
			sent += n
		}
	}
	ended := make(chan struct{})
	for range at {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				one()
			}
		}()
	}
	for range at {
		<-ended
	}
	return nil
}

// lastAnswer is when the last answer came.
func (c *Caller) lastAnswer() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last time.Time
	for _, k := range c.calls {
		if k.answered.After(last) {
			last = k.answered
		}
	}
	return last
}

// load is what a daemon has used, and the most memory that it had.
type load struct {
	cpu  time.Duration
	peak int64 // bytes
}

// usages are those of the daemons of both servers, as far as they live.
func (x *attacker) usages(ctx context.Context) map[string]load {
	all := map[string]load{}
	for _, s := range []*Server{x.srv1, x.standby} {
		pid := "$(cat " + s.dir + "/run/vrrp.pid)"
		if s.agent != nil {
			pid = strconv.Itoa(s.agent.pid)
		}
		out, code, err := shell(ctx, s, fmt.Sprintf("p=%s; cat /proc/$p/stat && grep VmHWM /proc/$p/status", pid))
		if err != nil || code != 0 {
			continue
		}
		_, rest, _ := strings.Cut(out, ") ")
		fields := strings.Fields(rest)
		if len(fields) < 22 {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		peak, _ := strconv.ParseInt(fields[len(fields)-2], 10, 64)
		all[s.Name] = load{cpu: time.Duration(user+system) * 10 * time.Millisecond, peak: peak << 10}
	}
	return all
}
