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

// blocks asks the kernel's nftables to drop frames. Family netdev sees what no
// other family does: frames of packet sockets, on the one interface that a chain of
// it names. What is denied on all interfaces is so by families arp and inet.
type blocks struct {
	err  error // of opening the socket
	mu   sync.Mutex
	conn *nftables.Conn
}

// openBlocks opens a socket in the calling thread's network namespace. A kernel
// without nftables serves all the rest: it is an error of those who block.
func openBlocks() *blocks {
	conn, err := nftables.New(nftables.AsLasting())
	return &blocks{conn: conn, err: err}
}

// use locks the socket for one conversation.
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

// Block keeps addr off the wire of the interface from now on, and denies it on all
// others. An address that is blocked already stays so all the time, with rules made
// anew.
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
	// A table that is not there cannot be deleted, so it is made first. All of it
	// is one transaction: there is no instant without rules.
	b.conn.AddTable(table)
	b.conn.DelTable(table)
	b.conn.AddTable(table)
	for _, side := range sides {
		chain := b.conn.AddChain(&nftables.Chain{
			Name: side.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: side.hook,
			// Before everybody else's rules: what is blocked is nobody's business.
			Priority: nftables.ChainPriorityRef(-500), Device: ifname,
		})
		for _, match := range side.drops(addr) {
			b.conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match, &expr.Verdict{Kind: expr.VerdictDrop})})
		}
	}
	return wrap(b.conn.Flush(), "block %s on %s", addr, ifname)
}

// Unblock lets addr onto the wire again, of the interface where it is blocked and of
// all others where it is denied, in one step; no error if it is neither.
func (k *Kernel) Unblock(ifname string, addr netip.Addr) error {
	if err := CheckBlockable(addr); err != nil {
		return err
	}
	if own, err := k.ownName(ifname); err == nil { // of one that is gone the rules may still be there
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
	if errors.Is(err, unix.ENOENT) { // nothing is denied here, so that there are no sets
		b.dropTable(ifname, addr)
		err = b.conn.Flush()
	}
	return wrap(err, "unblock %s on %s", addr, ifname)
}

// Uncover takes the block of addr off the interface, and leaves it denied: it is not
// here any more, and what this server says to the rightful holder is to pass.
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

// dropTable deletes the table of a block as part of the batch. One that is not there
// cannot be deleted, so it is made first.
func (b *blocks) dropTable(ifname string, addr netip.Addr) {
	table := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: blockName(ifname, addr)}
	b.conn.AddTable(table)
	b.conn.DelTable(table)
}

// Blocked returns the addresses that are blocked on the interface, by whichever
// process, and denied on all others. One of whose rules something is missing is not
// blocked.
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

// complete tells whether a chain of ours has all of its rules. The table may go
// while it is looked at.
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

// side is one of the two ways through an interface.
type side struct {
	name  string
	hook  *nftables.ChainHook
	drops func(netip.Addr) [][]expr.Any
}

var sides = [...]side{
	{"ingress", nftables.ChainHookIngress, dropsIn},
	{"egress", nftables.ChainHookEgress, dropsOut},
}

// EtherTypes, and where the parts of their headers are (RFC 826, 791, 8200, 4861).
const (
	etherIPv4 = 0x0800

	arpOperation           = 6
	arpSender, arpTarget   = 14, 24
	ipv4Source, ipv4Target = 12, 16
	ipv6Source, ipv6Target = 8, 24
	ipv6Next, icmpv6Type   = 6, 40
	neighbourTarget        = 48
)

// dropsIn matches what the kernel would answer or hand to a program. It answers
// requests for the address; announcements of another server's, and answers to
// what our wires asked, do no harm and are to be heard. Neither may a server that
// asks for our base from the address, since it has it, go without an answer.
func dropsIn(addr netip.Addr) [][]expr.Any {
	raw := addr.AsSlice()
	if addr.Is4() {
		asked := ethernet(ethTypeARP, header(arpOperation, []byte{0, byte(Request)}), header(arpTarget, raw), not(header(arpSender, raw)))
		return [][]expr.Any{asked, ethernet(etherIPv4, header(ipv4Source, raw)), ethernet(etherIPv4, header(ipv4Target, raw))}
	}
	return [][]expr.Any{ethernet(ethTypeIPv6, header(ipv6Target, raw)), neighbour(solicitation, addr)}
}

// dropsOut lets requests for the address through, which claim nothing: whether
// somebody else has it must be found out before it is unblocked.
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

// neighbour matches neighbour discovery about an address. It comes without
// extension headers.
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

// header matches bytes at an offset from the start of the network header.
func header(offset uint32, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(want))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

// not turns the comparison at the end of a match round.
func not(match []expr.Any) []expr.Any {
	compared, _ := match[len(match)-1].(*expr.Cmp)
	compared.Op = expr.CmpOpNeq
	return match
}

// nftablesGroup is NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h, as a bit.
const nftablesGroup = 1 << (7 - 1)

// openRuleEvents subscribes to changes of nftables in the calling thread's
// network namespace. Who may not change rules may not hear of them either: then
// there is no socket and no error.
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

// readRuleEvents tells of every change of rules, whoever's, until the socket is
// closed; what it was is found out by looking.
func readRuleEvents(c *socket.Conn, changes *fanout.Fanout[Event]) {
	buffer := make([]byte, 64<<10)
	for {
		if _, _, err := c.Recvfrom(context.Background(), buffer, 0); isClosed(err) {
			return
		}
		changes.Send(Event{Blocks: true})
	}
}
