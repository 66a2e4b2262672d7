package commands

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// The probe of an address before it is used here: by RFC 5227, but faster, as the servers are on
// one switch.
const (
	probeCount    = 3
	probeInterval = 50 * time.Millisecond
)

// lookForInterface checks that this server has an interface. It passes if the kernel cannot be
// asked.
func (e Env) lookForInterface(s clusterconf.Server) error {
	k, err := e.Kernel()
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

// kernelName returns the kernel's own name of an interface of this server.
func (e Env) kernelName(ifname string) (string, error) {
	k, err := e.Kernel()
	if err != nil {
		return "", err
	}
	defer k.Close()
	link, err := k.Link(ifname)
	if fault.CodeOf(err) == fault.NotFound {
		return "", fault.Wrap(err, fault.Refused, fault.HintOf(err), "this server")
	}
	return link.Name, err
}

// interfaceRefused turns the error for a missing interface into a refusal: the document names the
// interface, the user did not.
func interfaceRefused(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return fault.Wrap(err, fault.Refused, fault.HintOf(err), "this server's kernel")
	}
	return err
}

// hasAddress reports whether an address with exactly this prefix length is present.
func hasAddress(addresses []netops.Address, p netip.Prefix) bool {
	return slices.ContainsFunc(addresses, func(a netops.Address) bool { return a.Prefix == p })
}

// probeFree refuses an address that another station has.
func (e Env) probeFree(ctx context.Context, ifname string, addr netip.Addr) error {
	mac, err := e.probe(ctx, ifname, addr)
	if err != nil {
		return err
	}
	if mac != nil {
		return fault.New(fault.Refused, "free the address there, or choose another", "%s is in use by %s", addr, mac)
	}
	return nil
}

// probe returns the MAC address of the station that has an address; nil: none.
func (e Env) probe(ctx context.Context, ifname string, addr netip.Addr) (net.HardwareAddr, error) {
	w, err := e.Wire(ifname)
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
