package xdata

import (
	"io"
	"time"

	"mxcluster/xdata/internal/wire"
)

// Answer reads the whole output of a program that answers once, at its end, as `mxcluster sync
// --output json` does, up to most bytes. The first byte ends the wait for the login. The program
// prints a [Keepalive] now and then; when nothing comes for idle, 0 meaning [wire.DefaultIdle], the error
// is fault.Unreachable.
func Answer(peer Conn, most int64, idle time.Duration) ([]byte, error) {
	if idle == 0 {
		idle = wire.DefaultIdle
	}
	l := wire.NewLink(peer, peer)
	first, err := l.R.ReadByte()
	if err != nil {
		return nil, err
	}
	if c, ok := peer.(wire.Login); ok {
		c.Answered()
	}
	gone := make(chan error, 1)
	stop := l.Listen(nil, idle, func(err error) {
		gone <- err
		peer.Close()
	})
	rest, err := io.ReadAll(io.LimitReader(l.R, most-1))
	stop()
	select {
	case err = <-gone:
	default:
	}
	return append([]byte{first}, rest...), err
}

// Keepalive is printed in front of an answer in JSON, whose meaning it does not change.
const Keepalive = " "

// SendKeepalives writes a Keepalive to w at once and then every second, until stop is called. A
// failed write ends it: the writer of the answer gets the same error.
func SendKeepalives(w io.Writer) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(wire.KeepaliveEvery)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(w, Keepalive); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// Meet waits for the greeting of a [Serve], skips what a login prints before it, and checks that
// both sides speak a version of the protocol that the other one speaks. It is a check of the
// connection only: peer can be used for nothing else afterwards. Where there is none the error is fault.Refused, with the server to
// upgrade in the hint.
func Meet(peer Conn) (wire.Access, error) {
	g, _, err := wire.NewLink(peer, peer).Meet(peer)
	return g.Access, err
}
