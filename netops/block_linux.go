package netops

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fanout"
)

// blocks drops frames by the kernel's nftables. Family netdev, whose chains are for one interface,
// is the only one that handles frames of packet sockets. Denials, on all interfaces, use the
// families arp and inet.
type blocks struct {
	err  error // of opening the socket
	mu   sync.Mutex
	conn *nftables.Conn
}

// openBlocks opens a socket in the network namespace of the calling thread. On a kernel without
// nftables the error is that of later calls, so that everything else works.
func openBlocks() *blocks {
	conn, err := nftables.New(nftables.AsLasting())
	return &blocks{conn: conn, err: err}
}

// use locks the socket for one exchange of messages.
func (b *blocks) use() (unlock func(), err error) {
	if b.err != nil {
		return nil, b.err
	}
	b.mu.Lock()
	return b.mu.Unlock, nil
}

func (b *blocks) close() error {
	if b.err != nil {
		return nil
	}
	return b.conn.CloseLasting()
}

// Block keeps addr off the wire of the interface, and denies it on all others. An address that is
// blocked stays blocked while its rules are made anew.
func (k *Kernel) Block(ifname string, addr netip.Addr) error {
	if err := CheckBlockable(addr); err != nil {
		return err
	}
	ifname, err := k.ownName(ifname)
	if err != nil {
		return err
	}
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return wrap(err, "block %s on %s", addr, ifname)
	}
	defer unlock()
	denied, whole, err := b.denied()
	switch {
	case err != nil:
	case !whole:
		err = b.rebuild(append(denied, addr))
	default:
		err = b.eachSet([]netip.Addr{addr}, b.conn.SetAddElements)
	}
	if err != nil {
		return wrap(err, "block %s on %s", addr, ifname)
	}
	table := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: blockName(ifname, addr)}
	// A missing table cannot be deleted, so it is created first. It is one transaction: there is no
	// moment without rules.
	b.conn.AddTable(table)
	b.conn.DelTable(table)
	b.conn.AddTable(table)
	for _, side := range sides {
		chain := b.conn.AddChain(&nftables.Chain{
			Name: side.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: side.hook,
			// Before all other rules.
			Priority: nftables.ChainPriorityRef(-500), Device: ifname,
		})
		for _, match := range side.drops(addr) {
			b.conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match, &expr.Verdict{Kind: expr.VerdictDrop})})
		}
	}
	return wrap(b.conn.Flush(), "block %s on %s", addr, ifname)
}

// Unblock puts addr on the wire again, of the interface where it is blocked and of all others where
// it is denied, in one transaction; no error if it is neither.
func (k *Kernel) Unblock(ifname string, addr netip.Addr) error {
	if err := CheckBlockable(addr); err != nil {
		return err
	}
	if own, err := k.ownName(ifname); err == nil { // its rules may outlive an interface
		ifname = own
	}
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return wrap(err, "unblock %s on %s", addr, ifname)
	}
	defer unlock()
	err = b.allow(addr)
	if err == nil {
		b.dropTable(ifname, addr)
		err = b.conn.Flush()
	}
	if errors.Is(err, unix.ENOENT) { // nothing is denied here: there are no sets
		b.dropTable(ifname, addr)
		err = b.conn.Flush()
	}
	return wrap(err, "unblock %s on %s", addr, ifname)
}

// Uncover removes the block of addr on the interface, and leaves the denial: the address is not
// present any more, and packets to its rightful holder must pass.
func (k *Kernel) Uncover(ifname string, addr netip.Addr) error {
	if err := CheckBlockable(addr); err != nil {
		return err
	}
	if own, err := k.ownName(ifname); err == nil {
		ifname = own
	}
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return wrap(err, "uncover %s on %s", addr, ifname)
	}
	defer unlock()
	b.dropTable(ifname, addr)
	return wrap(b.conn.Flush(), "uncover %s on %s", addr, ifname)
}

// dropTable adds the deletion of a block's table to the batch. A missing table cannot be deleted,
// so it is created first.
func (b *blocks) dropTable(ifname string, addr netip.Addr) {
	table := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: blockName(ifname, addr)}
	b.conn.AddTable(table)
	b.conn.DelTable(table)
}

// Blocked returns the addresses that are blocked on the interface, by any process, and denied on
// all others. An address with missing rules is not blocked.
func (k *Kernel) Blocked(ifname string) ([]netip.Addr, error) {
	ifname, err := k.ownName(ifname)
	if err != nil {
		return nil, err
	}
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return nil, wrap(err, "list what is blocked on %s", ifname)
	}
	defer unlock()
	chains, err := b.conn.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return nil, wrap(err, "list what is blocked on %s", ifname)
	}
	denied, all, err := b.denied()
	if err != nil || !all {
		return nil, wrap(err, "list what is blocked on %s", ifname)
	}
	whole := map[netip.Addr]int{}
	var blocked []netip.Addr
	for _, c := range chains {
		on, addr, ok := parseBlockName(c.Table.Name)
		if !ok || on != ifname || c.Hooknum == nil {
			continue
		}
		complete, err := b.complete(c, addr)
		if err != nil {
			return nil, wrap(err, "list what is blocked on %s", ifname)
		}
		if complete {
			whole[addr]++
		}
		if whole[addr] == len(sides) && slices.Contains(denied, addr) {
			blocked = append(blocked, addr)
		}
	}
	return blocked, nil
}

// complete reports whether a chain has all of its rules. The table may be removed meanwhile.
func (b *blocks) complete(c *nftables.Chain, addr netip.Addr) (bool, error) {
	rules, err := b.conn.GetRules(c.Table, c)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	for _, side := range sides {
		if side.name == c.Name {
			return err == nil && len(rules) == len(side.drops(addr)), err
		}
	}
	return false, err
}

// side is one direction through an interface.
type side struct {
	name  string
	hook  *nftables.ChainHook
	drops func(netip.Addr) [][]expr.Any
}

var sides = [...]side{
	{"ingress", nftables.ChainHookIngress, dropsIn},
	{"egress", nftables.ChainHookEgress, dropsOut},
}

// EtherTypes, and offsets in their headers (RFC 826, 791, 8200, 4861).
const (
	etherIPv4 = 0x0800

	arpOperation           = 6
	arpSender, arpTarget   = 14, 24
	ipv4Source, ipv4Target = 12, 16
	ipv6Source, ipv6Target = 8, 24
	ipv6Next, icmpv6Type   = 6, 40
	neighbourTarget        = 48
)

// dropsIn matches frames that the kernel would answer or deliver. Requests for the address are
// answered by the kernel; announcements of other servers, and answers to this server's questions,
// are harmless and must be received. So must be requests for this server's base that come from the
// address of its present holder.
func dropsIn(addr netip.Addr) [][]expr.Any {
	raw := addr.AsSlice()
	if addr.Is4() {
		asked := ethernet(ethTypeARP, header(arpOperation, []byte{0, byte(Request)}), header(arpTarget, raw), not(header(arpSender, raw)))
		return [][]expr.Any{asked, ethernet(etherIPv4, header(ipv4Source, raw)), ethernet(etherIPv4, header(ipv4Target, raw))}
	}
	return [][]expr.Any{ethernet(ethTypeIPv6, header(ipv6Target, raw)), neighbour(solicitation, addr)}
}

// dropsOut does not match requests for the address, which claim nothing: they are needed to find
// out who else has it.
func dropsOut(addr netip.Addr) [][]expr.Any {
	if addr.Is4() {
		return [][]expr.Any{
			ethernet(ethTypeARP, header(arpSender, addr.AsSlice())),
			ethernet(etherIPv4, header(ipv4Source, addr.AsSlice())), ethernet(etherIPv4, header(ipv4Target, addr.AsSlice())),
		}
	}
	return [][]expr.Any{
		ethernet(ethTypeIPv6, header(ipv6Source, addr.AsSlice())), ethernet(ethTypeIPv6, header(ipv6Target, addr.AsSlice())),
		neighbour(advertisement, addr),
	}
}

// neighbour matches neighbour discovery for an address. It has no extension headers.
func neighbour(kind byte, addr netip.Addr) []expr.Any {
	return ethernet(ethTypeIPv6, header(ipv6Next, []byte{icmpv6}), header(icmpv6Type, []byte{kind}), header(neighbourTarget, addr.AsSlice()))
}

// ethernet matches frames of an EtherType for which all parts match.
func ethernet(etherType uint16, parts ...[]expr.Any) []expr.Any {
	match := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(etherType)},
	}
	for _, p := range parts {
		match = append(match, p...)
	}
	return match
}

// header matches bytes at an offset in the network header.
func header(offset uint32, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(want))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

// not negates the comparison at the end of a match.
func not(match []expr.Any) []expr.Any {
	compared, _ := match[len(match)-1].(*expr.Cmp)
	compared.Op = expr.CmpOpNeq
	return match
}

// nftablesGroup is NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h, as a bit.
const nftablesGroup = 1 << (7 - 1)

// openRuleEvents subscribes to changes of nftables in the network namespace of the calling thread.
// Without the permission to change rules there is no socket and no error.
func openRuleEvents() (*socket.Conn, error) {
	c, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER, "netlink", nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil // a kernel without nftables
	}
	if err != nil {
		return nil, err
	}
	err = c.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: nftablesGroup})
	if err == nil {
		return c, nil
	}
	_ = c.Close()
	if errors.Is(err, unix.EPERM) {
		return nil, nil
	}
	return nil, err
}

// readRuleEvents reports every change of rules, by anybody, until the socket is closed. The
// receiver reads the rules to see what changed.
func readRuleEvents(c *socket.Conn, changes *fanout.Fanout[Event]) {
	buffer := make([]byte, 64<<10)
	for {
		if _, _, err := c.Recvfrom(context.Background(), buffer, 0); isClosed(err) {
			return
		}
		changes.Send(Event{Blocks: true})
	}
}
