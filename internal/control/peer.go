package control

import (
	"context"
	"net"
	"os"
	"sync"

	"mxcluster/internal/fault"
)

// peer is who called, as the kernel tells it: credentials of the moment of
// connect(2), which the caller cannot forge.
type peer struct {
	uid uint32
	pid int32
}

// mayChange tells whether the caller may do more than read.
func (p peer) mayChange() bool {
	return p.uid == 0 || int(p.uid) == os.Geteuid()
}

// conn is an accepted connection with its caller.
type conn struct {
	net.Conn
	peer    peer
	once    sync.Once
	release func() // gives the place under the limit back
}

// Close may be called more than once, as net/http does.
func (c *conn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

type peerKey struct{}

// withPeer is the http.Server's ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*conn); ok {
		return context.WithValue(ctx, peerKey{}, pc.peer)
	}
	return ctx
}

// authorize fails with fault.NotPermitted unless the caller may change things.
// A caller that is not known may not.
func authorize(ctx context.Context) (peer, error) {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return peer{}, fault.New(fault.NotPermitted, "", "the caller's identity is not known")
	}
	if !p.mayChange() {
		return p, fault.New(fault.NotPermitted, "run the command as root, for example with sudo",
			"user %d may read but not give orders to the agent", p.uid)
	}
	return p, nil
}
