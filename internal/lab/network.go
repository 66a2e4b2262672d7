//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"mxcluster/internal/netns"
)

// switchName is the bridge that connects everything in the lab.
const switchName = "switch"

// serverInterface is the name of every server's one interface.
const serverInterface = "eth0"

// network is the switch, in the host's own network namespace. A port is the
// switch's end of a cable; it is named after what is plugged in. Cables are cut
// there and not in the server, as a server does not lose frames before its own
// taps see them.
//
// The host's namespace has no address of its own: a kernel answers ARP for all
// its addresses on all its interfaces, the switch among them.
type network struct {
	ns      *netns.NS
	clients []*netns.NS // kept open, as no process lives in them
}

func newNetwork() (*network, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ns.SetUp("lo"), netns.AddBridge(ns, switchName)); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return &network{ns: ns}, nil
}

// plugServer lays a cable from a new port to a new interface in the namespace
// of the process pid.
func (n *network) plugServer(port string, mac net.HardwareAddr, pid int) error {
	server, err := netns.FromPID(pid)
	if err != nil {
		return err
	}
	// An open handle would keep the namespace alive after a power cut.
	return errors.Join(n.plug(port, server, serverInterface, mac), server.Close())
}

func (n *network) plug(port string, far *netns.NS, iface string, mac net.HardwareAddr) error {
	if err := netns.AddVeth(n.ns, port, far, iface, mac); err != nil {
		return err
	}
	return errors.Join(n.ns.Attach(port, switchName), n.ns.SetUp(port))
}

// setPort switches a port on or off.
func (n *network) setPort(port string, on bool) error {
	if on {
		return n.ns.SetUp(port)
	}
	return n.ns.SetDown(port)
}

// unplug takes the cable away, both ends of it. The kernel does that itself
// once a server's namespace is gone, so it may have been faster.
func (n *network) unplug(port string) error {
	err := n.ns.Delete(port)
	if _, lookup := net.InterfaceByName(port); lookup != nil {
		return nil
	}
	return err
}

// addClient plugs a client in, which is a namespace with one interface and one
// address, for sockets to be opened in.
func (n *network) addClient(name string, mac net.HardwareAddr, addr netip.Prefix) (*netns.NS, error) {
	client, err := netns.New()
	if err != nil {
		return nil, err
	}
	n.clients = append(n.clients, client)
	if err := n.plug(name, client, serverInterface, mac); err != nil {
		return nil, err
	}
	return client, errors.Join(client.AddAddress(serverInterface, addr), client.SetUp(serverInterface))
}

// addTap plugs an interface without an address into the switch, in the
// switch's own namespace, for raw frames.
func (n *network) addTap(name string, mac net.HardwareAddr) (*net.Interface, error) {
	if err := n.plug(name+"-port", n.ns, name, mac); err != nil {
		return nil, err
	}
	if err := n.ns.SetUp(name); err != nil {
		return nil, err
	}
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("plugging %s into the switch: %w", name, err)
	}
	return iface, nil
}
