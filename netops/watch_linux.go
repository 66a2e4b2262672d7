package netops

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fanout"
)

// openEvents subscribes to changes of links, addresses and routes in the network namespace of the
// calling thread.
func openEvents() (*socket.Conn, error) {
	c, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, "netlink", nil)
	if err != nil {
		return nil, err
	}
	groups := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE}
	if err := c.Bind(groups); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// readEvents reports changes until the socket is closed. A netlink socket that overflows (ENOBUFS)
// stays subscribed; as it is unknown what was lost, everything counts as changed.
func readEvents(c *socket.Conn, changes *fanout.Fanout[Event]) {
	defer changes.Close()
	known := knownAddresses{}
	buffer := make([]byte, 64<<10) // the kernel's messages have at most 32 KiB
	for {
		n, _, err := c.Recvfrom(context.Background(), buffer, 0)
		switch {
		case isClosed(err):
			return
		case err != nil:
			clear(known)
			changes.Send(Event{Addresses: true, Links: true, Routes: true})
		default:
			if e := known.changes(buffer[:n]); e != (Event{}) {
				changes.Send(e)
			}
		}
	}
}

// isClosed reports whether err comes from using a closed socket.
func isClosed(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADF)
}

// addressKey identifies an address of an interface.
type addressKey struct {
	index  uint32
	prefix netip.Prefix
}

// knownAddresses are the known addresses, and whether each is permanent. They are needed to
// distinguish a new address from the renewal of a lease, for which the kernel sends the same
// message.
type knownAddresses map[addressKey]bool

// changes returns the changes in the messages in b.
func (k knownAddresses) changes(b []byte) Event {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return Event{Addresses: true, Links: true, Routes: true}
	}
	var e Event
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			e.Links = true
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			e.Addresses = k.note(m) || e.Addresses
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			e.Routes = e.Routes || mayLead(m)
		}
	}
	return e
}

// rtaNexthop is RTA_NH_ID: the gateway is that of a nexthop object.
const rtaNexthop = 30

// mayLead reports whether a route in a message may have a gateway. Routes that the kernel adds for
// an address have none.
func mayLead(m syscall.NetlinkMessage) bool {
	if len(m.Data) < unix.SizeofRtMsg {
		return true
	}
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	return err != nil || slices.ContainsFunc(attrs, func(a syscall.NetlinkRouteAttr) bool {
		return slices.Contains([]uint16{unix.RTA_GATEWAY, unix.RTA_MULTIPATH, unix.RTA_VIA, rtaNexthop}, a.Attr.Type)
	})
}

// note records an address message, and reports whether it is a change.
func (k knownAddresses) note(m syscall.NetlinkMessage) bool {
	key, permanent, ok := parseAddress(m)
	switch {
	case !ok:
		return true
	case madeByIPv6(key.prefix.Addr()):
		return false
	}
	if m.Header.Type == unix.RTM_DELADDR {
		delete(k, key)
		return true
	}
	before, known := k[key]
	k[key] = permanent
	return !known || before != permanent
}

// parseAddress reads struct ifaddrmsg and the attribute with the address, which
// IPv6 gives another one than IPv4. The message's own eight bits of flags hold
// IFA_F_PERMANENT.
func parseAddress(m syscall.NetlinkMessage) (key addressKey, permanent, ok bool) {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return key, false, false
	}
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return key, false, false
	}
	for _, a := range attrs {
		ip, valid := netip.AddrFromSlice(a.Value)
		if valid && (a.Attr.Type == unix.IFA_LOCAL && ip.Is4() || a.Attr.Type == unix.IFA_ADDRESS && ip.Is6()) {
			index := binary.NativeEndian.Uint32(m.Data[4:8])
			key = addressKey{index, netip.PrefixFrom(ip, int(m.Data[1]))}
			return key, m.Data[2]&unix.IFA_F_PERMANENT != 0, true
		}
	}
	return key, false, false
}
