package netops

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// read delivers frames until the wire is closed. An interface that goes down causes one error, and
// delivers again when it is up; for one that was removed the socket must be bound again.
func (w *Wire) read() {
	defer w.heard.Close()
	defer w.echoed.Close()
	for {
		switch err := w.readOne(); {
		case isClosed(err):
			return
		case err != nil:
			if !w.recover() {
				return
			}
		}
	}
}

// readOne waits for a frame and delivers it.
func (w *Wire) readOne() error {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) (done bool) {
		w.reading.Lock()
		defer w.reading.Unlock()
		done, failed = w.take(int(fd))
		return done || failed != nil
	})
	return cmp.Or(err, failed)
}

// take delivers one frame if there is one. The caller holds reading.
func (w *Wire) take(fd int) (taken bool, err error) {
	n, controlLen, _, from, err := unix.Recvmsg(fd, w.frame, w.control, unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case errors.Is(err, unix.EINTR):
		return true, nil // there may be more
	case err != nil:
		return false, os.NewSyscallError("recvmsg", err)
	}
	w.deliver(w.frame[:n], w.control[:controlLen], from)
	return true, nil
}

// recover waits until an interface with the wire's name exists and the socket is bound to it; false
// if the wire is closed meanwhile.
func (w *Wire) recover() bool {
	retry := time.NewTicker(retryWait)
	defer retry.Stop()
	for {
		select {
		case <-w.done:
			return false
		case <-retry.C:
		}
		if w.bind() == nil {
			return true
		}
	}
}

// deliver passes a frame to the subscribers unless it is of another kind, for another station (as
// on a port with VLANs), or the wire's own. Frames sent by the kernel here are counted.
func (w *Wire) deliver(frame, control []byte, from unix.Sockaddr) {
	link, ok := from.(*unix.SockaddrLinklayer)
	switch {
	case !ok || link.Pkttype == unix.PACKET_OTHERHOST:
		return
	case link.Pkttype == unix.PACKET_OUTGOING:
		w.sent.Add(1)
		return
	}
	o, err := ParseFrame(frame)
	if err != nil {
		o, err = ParseNeighbour(frame)
	}
	if err != nil {
		if e, err := w.echoes.parse(frame, receivedAt(control, time.Now())); err == nil {
			w.echoed.Send(e)
		}
		return
	}
	_, own, err := w.station()
	if err == nil && (bytes.Equal(o.SenderMAC, own) || bytes.Equal(o.EthSrc, own)) {
		return
	}
	o.Time = receivedAt(control, time.Now())
	w.heard.Send(o)
}

// receivedAt returns the time at which the kernel received a frame. The kernel's timestamp is of
// the wall clock; its age is subtracted from now, so that the result can be compared with the
// monotonic clock. A process that was stopped can so tell how old waiting frames are.
func receivedAt(control []byte, now time.Time) time.Time {
	const maxAge = time.Minute // older ones mean that the wall clock was set meanwhile
	stamp, ok := kernelStamp(control)
	age := now.Sub(stamp)
	if !ok || age < 0 || age > maxAge {
		return now
	}
	return now.Add(-age)
}

// kernelStamp returns the struct timespec of SO_TIMESTAMPNS, whose fields have the machine's word
// size.
func kernelStamp(control []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SO_TIMESTAMPNS {
			continue
		}
		switch b := m.Data; len(b) {
		case 16:
			return time.Unix(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))), true
		case 8:
			return time.Unix(int64(binary.NativeEndian.Uint32(b)), int64(binary.NativeEndian.Uint32(b[4:]))), true
		}
	}
	return time.Time{}, false
}

// interfaceState is the kernel's state of the interface with the wire's name.
type interfaceState struct {
	index    int
	hardware uint16 // ARPHRD_ETHER and others
	running  bool   // enabled, and with a carrier
}

// lookup returns the interface in the socket's namespace, whatever that of the calling thread is.
func (w *Wire) lookup() (found interfaceState, err error) {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return found, err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) { found, ioctlErr = lookup(int(fd), w.ifname) })
	if err != nil {
		return found, err
	}
	return found, os.NewSyscallError("ioctl", ioctlErr)
}

func lookup(fd int, ifname string) (s interfaceState, err error) {
	ifreq, err := unix.NewIfreq(ifname)
	if err != nil {
		return s, unix.ENODEV // no interface can have such a name
	}
	// Each answer replaces the previous one.
	for _, question := range []struct {
		request uint
		answer  func()
	}{
		{unix.SIOCGIFINDEX, func() { s.index = int(ifreq.Uint32()) }},
		{unix.SIOCGIFHWADDR, func() { s.hardware = ifreq.Uint16() }},
		{unix.SIOCGIFFLAGS, func() { s.running = ifreq.Uint16()&unix.IFF_RUNNING != 0 }},
	} {
		if err := unix.IoctlIfreq(fd, question.request, ifreq); err != nil {
			return s, err
		}
		question.answer()
	}
	return s, nil
}

// networkOrder swaps the bytes of a number on little-endian machines.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	if binary.BigEndian.Uint16(b[:]) == v {
		return v
	}
	return bits.ReverseBytes16(v)
}
