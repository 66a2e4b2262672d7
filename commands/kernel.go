package commands

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// How an address is probed before it is used here (RFC 5227, but faster: the
// servers are on one switch).
const (
	probeCount    = 3
	probeInterval = 50 * time.Millisecond
)

// lookForInterface checks that this server has an interface. Where the kernel
// cannot be asked it says nothing.
func (a *app) lookForInterface(s clusterconf.Server) error {
	k, err := a.env.Kernel()
	if err != nil {
		return nil
	}
	defer k.Close()
	_, err = k.Link(s.Interface)
	if fault.CodeOf(err) == fault.NotFound {
		return fault.Wrap(err, fault.Refused, "", "server %s", s.Name)
	}
	return nil
}

// exchange does this server's part of an address exchange: the new base comes
// up beside the old one, which becomes the alias and stays as it is, so that
// connections through it go on. It returns how to undo that.
func (a *app) exchange(ctx context.Context, server *clusterconf.Server, newBase netip.Prefix) (undo func() error, err error) {
	k, err := a.env.Kernel()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	addresses, err := k.Addresses(server.Interface)
	if err != nil {
		return nil, interfaceRefused(err)
	}
	if !hasAddress(addresses, server.Base) {
		return nil, fault.New(fault.Refused, fmt.Sprintf("bring it up, or correct the base of %s", server.Name),
			"interface %s does not have %s, the base of %s", server.Interface, server.Base, server.Name)
	}
	if hasAddress(addresses, newBase) {
		return func() error { return nil }, nil
	}
	if err := a.probeFree(ctx, server.Interface, newBase.Addr()); err != nil {
		return nil, err
	}
	if err := k.EnsureBase(server.Interface, newBase); err != nil {
		return nil, err
	}
	return func() error {
		k, err := a.env.Kernel()
		if err != nil {
			return err
		}
		return errors.Join(k.Drop(server.Interface, newBase), k.Close())
	}, nil
}

// interfaceRefused makes a refusal of a missing interface: the document names
// it, so nothing was asked for that could be not found.
func interfaceRefused(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return fault.Wrap(err, fault.Refused, fault.HintOf(err), "this server's kernel")
	}
	return err
}

// hasAddress tells whether an address is there, with exactly that prefix length.
func hasAddress(addresses []netops.Address, p netip.Prefix) bool {
	return slices.ContainsFunc(addresses, func(a netops.Address) bool { return a.Prefix == p })
}

// probeFree refuses an address that another station has.
func (a *app) probeFree(ctx context.Context, ifname string, addr netip.Addr) error {
	mac, err := a.probe(ctx, ifname, addr)
	if err != nil {
		return err
	}
	if mac != nil {
		return fault.New(fault.Refused, "free the address there, or choose another", "%s is in use by %s", addr, mac)
	}
	return nil
}

// probe returns the MAC of the station that has an address, nil if none does.
func (a *app) probe(ctx context.Context, ifname string, addr netip.Addr) (net.HardwareAddr, error) {
	w, err := a.env.Wire(ifname)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	mac, inUse, err := netops.Probe(ctx, w, addr, probeCount, probeInterval)
	if err != nil || !inUse {
		return nil, err
	}
	return mac, nil
}
