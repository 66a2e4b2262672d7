package xdata

import (
	"io"
	"time"

	"mxcluster/xdata/internal/wire"
)

// Answer reads all that a program prints which answers once it is done, as `mxcluster
// sync --output json` does, up to most bytes. Its first byte ends the wait for the
// login; it prints a [Sign] now and then from then on, and is ended when nothing comes for idle,
// 0 meaning DefaultIdle, which is fault.Unreachable.
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

// Sign is a sign of life in front of an answer in JSON, which it does not change.
const Sign = " "

// Signs writes a Sign to w now and every second, until stop is called. A write that
// fails ends it: whoever writes the answer is told.
func Signs(w io.Writer) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(wire.KeepaliveEvery)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(w, Sign); err != nil {
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

// Meet waits for the greeting of a [Serve], passing over what a login prints before, and
// makes sure that it can be understood; nothing else can be done with peer then.
// Another version of the protocol is fault.Refused, and says which server to upgrade.
func Meet(peer Conn) (wire.Opened, error) {
	g, err := wire.NewLink(peer, peer).Meet(peer)
	return g.Opened, err
}
