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

// read passes frames on until the wire is closed. An interface that goes down
// shows as one error, after which the kernel delivers again as soon as it is
// up; one that was removed must be bound anew once it is back.
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

// readOne waits for a frame and passes it on.
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

// take passes one frame on if there is one. The caller holds reading.
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

// recover waits until an interface of our name exists and the socket is bound
// to it. It returns false when the wire is closed meanwhile.
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

// deliver hands a frame to the subscribers unless it is of another kind, not for this
// station (on a port with VLANs the frames of others show up), or our own. What the
// kernel here sends is counted.
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

// receivedAt returns the time at which the kernel received a frame. The
// kernel's stamp is of the wall clock; its age is taken off now, so that the
// result can be compared by the monotonic clock. A process that was stopped
// thus sees how old the frames are that waited for it.
func receivedAt(control []byte, now time.Time) time.Time {
	const maxAge = time.Minute // more is a wall clock that was set meanwhile
	stamp, ok := kernelStamp(control)
	age := now.Sub(stamp)
	if !ok || age < 0 || age > maxAge {
		return now
	}
	return now.Add(-age)
}

// kernelStamp finds the struct timespec of SO_TIMESTAMPNS, whose fields have
// the machine's word size.
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

// interfaceState is what the kernel says of the interface that has our name now.
type interfaceState struct {
	index    int
	hardware uint16 // ARPHRD_ETHER and others
	running  bool   // set up, and with a carrier
}

// lookup asks for the interface in the socket's own namespace, whatever the
// calling thread's is.
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
	// Each answer takes the place of the one before.
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

// networkOrder turns a number round where the machine is little-endian.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	if binary.BigEndian.Uint16(b[:]) == v {
		return v
	}
	return bits.ReverseBytes16(v)
}
