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

// network is the switch, in the host's network namespace. A port is the switch's end of a cable,
// and has the name of what is connected. Cables are cut at the port, since in a server packet
// sockets would still receive frames.
//
// The host's namespace has no address: a kernel answers ARP for all of its addresses on all
// interfaces, including the switch.
type network struct {
	ns      *netns.NS
	clients []*netns.NS // kept open, as no process keeps them
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

// plugServer connects a new port to a new interface in the namespace of the process pid.
func (n *network) plugServer(port string, mac net.HardwareAddr, pid int) error {
	server, err := netns.FromPID(pid)
	if err != nil {
		return err
	}
	// An open handle would keep the namespace after a power cut.
	return errors.Join(n.plug(port, server, serverInterface, mac), server.Close())
}

func (n *network) plug(port string, far *netns.NS, iface string, mac net.HardwareAddr) error {
	if err := netns.AddVeth(n.ns, port, far, iface, mac); err != nil {
		return err
	}
	return errors.Join(n.ns.Attach(port, switchName), n.ns.SetUp(port))
}

// setPort enables or disables a port.
func (n *network) setPort(port string, on bool) error {
	if on {
		return n.ns.SetUp(port)
	}
	return n.ns.SetDown(port)
}

// unplug removes a cable with both ends. The kernel does that as well when a server's namespace
// ends, and may be faster.
func (n *network) unplug(port string) error {
	err := n.ns.Delete(port)
	if _, lookup := net.InterfaceByName(port); lookup != nil {
		return nil
	}
	return err
}

// addClient connects a client: a namespace with one interface and one address, in which sockets can
// be opened.
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

// addTap connects an interface without an address, in the switch's namespace, for raw frames.
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
