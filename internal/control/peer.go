package control

import (
	"context"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
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

// authorize fails with fault.NotPermitted unless the caller may change things: root, the agent's
// own user and, for group, its members. A caller that is not known may not. group "": no group may.
func authorize(ctx context.Context, group string) (peer, error) {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return peer{}, fault.New(fault.NotPermitted, "", "the caller's identity is not known")
	}
	if p.mayChange() || group != "" && p.isIn(group) {
		return p, nil
	}
	hint := "run the command as root, for example with sudo"
	if group != "" {
		hint = "run the command as root, or as a member of group " + group
	}
	return p, fault.New(fault.NotPermitted, hint, "user %d may read but not give orders to the agent", p.uid)
}

// isIn tells whether the caller is a member of a group by the user database of now: who was taken
// out of it may do nothing any more, whatever its session was given.
func (p peer) isIn(group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.uid), 10))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, g.Gid)
}
