package netops

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Deny adds addresses to those that are kept off the wire of all interfaces, in one transaction.
// Rules damaged by another tool are restored.
func (k *Kernel) Deny(addrs ...netip.Addr) error {
	if err := CheckDeniable(addrs); err != nil {
		return err
	}
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return wrap(err, "deny %v", addrs)
	}
	defer unlock()
	now, whole, err := b.denied()
	if err != nil {
		return wrap(err, "deny %v", addrs)
	}
	missing := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return slices.Contains(now, a) })
	switch {
	case !whole:
		err = b.rebuild(append(now, missing...))
	case len(missing) > 0:
		err = b.eachSet(missing, b.conn.SetAddElements)
	default:
		return nil
	}
	if err == nil {
		err = b.conn.Flush()
	}
	return wrap(err, "deny %v", addrs)
}

// Denied returns the denied addresses, whichever process denied them; none if one of the rules is
// missing.
func (k *Kernel) Denied() ([]netip.Addr, error) {
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return nil, wrap(err, "list what is denied")
	}
	defer unlock()
	addrs, whole, err := b.denied()
	if !whole {
		addrs = nil
	}
	return addrs, wrap(err, "list what is denied")
}

// AllowAll removes all denials with their tables.
func (k *Kernel) AllowAll() error {
	b := k.blocks
	unlock, err := b.use()
	if err != nil {
		return wrap(err, "take all denials off")
	}
	defer unlock()
	for _, t := range denyTables() {
		b.conn.AddTable(t) // a missing table cannot be deleted
		b.conn.DelTable(t)
	}
	return wrap(b.conn.Flush(), "take all denials off")
}

func denyTables() [2]*nftables.Table {
	return [...]*nftables.Table{
		{Family: nftables.TableFamilyARP, Name: denyTable},
		{Family: nftables.TableFamilyINet, Name: denyTable},
	}
}

// denySet is one of the sets of denied addresses, in the form that the rules of its table use.
type denySet struct {
	family  nftables.TableFamily
	name    string
	keyType nftables.SetDatatype
	key     func(netip.Addr) []byte // nil: the set has no such addresses
}

const (
	deniedAddresses = "addresses"
	deniedPairs     = "announced" // an address as sender and target, as in announcements
	deniedIPv6      = "addresses6"
)

// denySets returns all sets; concatenating two types cannot fail.
func denySets() []denySet {
	pair, _ := nftables.ConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	return []denySet{
		{nftables.TableFamilyARP, deniedAddresses, nftables.TypeIPAddr, keyIPv4},
		{nftables.TableFamilyARP, deniedPairs, pair, func(a netip.Addr) []byte { return bytes.Repeat(keyIPv4(a), 2) }},
		{nftables.TableFamilyINet, deniedAddresses, nftables.TypeIPAddr, keyIPv4},
		{nftables.TableFamilyINet, deniedIPv6, nftables.TypeIP6Addr, keyIPv6},
	}
}

func keyIPv4(a netip.Addr) []byte {
	if a.Is4() {
		return a.AsSlice()
	}
	return nil
}

func keyIPv6(a netip.Addr) []byte {
	if a.Is6() {
		return a.AsSlice()
	}
	return nil
}

// elements returns the set's elements for addresses.
func (s denySet) elements(addrs []netip.Addr) []nftables.SetElement {
	var all []nftables.SetElement
	for _, a := range addrs {
		if key := s.key(a); len(key) > 0 {
			all = append(all, nftables.SetElement{Key: key})
		}
	}
	return all
}

func (s denySet) set() *nftables.Set {
	return &nftables.Set{Table: &nftables.Table{Family: s.family, Name: denyTable}, Name: s.name, KeyType: s.keyType, Concatenation: s.name == deniedPairs}
}

// eachSet calls f for every set with its elements for addresses.
func (b *blocks) eachSet(addrs []netip.Addr, f func(*nftables.Set, []nftables.SetElement) error) error {
	for _, s := range denySets() {
		if elements := s.elements(addrs); len(elements) > 0 {
			if err := f(s.set(), elements); err != nil {
				return err
			}
		}
	}
	return nil
}

// rebuild adds the creation of all rules, for these addresses, to the batch.
func (b *blocks) rebuild(addrs []netip.Addr) error {
	for _, t := range denyTables() {
		b.conn.AddTable(t)
		b.conn.DelTable(t)
		b.conn.AddTable(t)
	}
	for i, s := range denySets() {
		set := s.set()
		// The kernel wants it to be unique within a batch. Left at zero, the library takes it from a
		// variable that all connections share without a lock.
		set.ID = uint32(i + 1)
		if err := b.conn.AddSet(set, s.elements(addrs)); err != nil {
			return err
		}
	}
	for _, c := range denyChains() {
		table := &nftables.Table{Family: c.family, Name: denyTable}
		chain := b.conn.AddChain(&nftables.Chain{Name: c.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: c.hook,
			Priority: nftables.ChainPriorityRef(-500)}) // before all other rules
		for _, r := range c.rules {
			b.conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r})
		}
	}
	return nil
}

// allow adds the removal of addresses from the sets to the batch. A missing element cannot be
// deleted, so it is added first.
func (b *blocks) allow(addrs ...netip.Addr) error {
	if err := b.eachSet(addrs, b.conn.SetAddElements); err != nil {
		return err
	}
	return b.eachSet(addrs, b.conn.SetDeleteElements)
}

// denied reads the addresses from the kernel. whole: all rules are present.
func (b *blocks) denied() (addrs []netip.Addr, whole bool, err error) {
	whole = true
	for _, t := range denyTables() {
		there, err := b.denyRules(t)
		if err != nil {
			return nil, false, err
		}
		whole = whole && there
	}
	in := map[netip.Addr]int{}
	for _, s := range denySets() {
		elements, err := b.members(s)
		if err != nil {
			return nil, false, err
		}
		for _, e := range elements {
			if a, ok := netip.AddrFromSlice(e.Key[:min(len(e.Key), s.addrLen())]); ok {
				in[a]++
			}
		}
	}
	for a, n := range in {
		addrs = append(addrs, a)
		whole = whole && n == setsOf(a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, whole, nil
}

// members reads a set; a missing one is empty.
func (b *blocks) members(s denySet) ([]nftables.SetElement, error) {
	tables, err := b.conn.ListTablesOfFamily(s.family)
	if err != nil || !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == denyTable }) {
		return nil, err
	}
	want := s.set()
	sets, err := b.conn.GetSets(want.Table)
	if err != nil || !slices.ContainsFunc(sets, func(x *nftables.Set) bool { return x.Name == s.name }) {
		return nil, err
	}
	return b.conn.GetSetElements(want)
}

// addrLen is the length of an address in the set's keys.
func (s denySet) addrLen() int {
	if s.name == deniedIPv6 {
		return 16
	}
	return 4
}

// setsOf returns the number of sets with an address.
func setsOf(a netip.Addr) (n int) {
	for _, s := range denySets() {
		if len(s.key(a)) > 0 {
			n++
		}
	}
	return n
}

// denyRules reports whether a table has all of its rules.
func (b *blocks) denyRules(t *nftables.Table) (bool, error) {
	chains, err := b.conn.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return false, err
	}
	for _, want := range denyChains() {
		if want.family != t.Family {
			continue
		}
		i := slices.IndexFunc(chains, func(c *nftables.Chain) bool {
			return c.Table.Name == denyTable && c.Name == want.name && c.Hooknum != nil
		})
		if i < 0 {
			return false, nil
		}
		rules, err := b.conn.GetRules(t, chains[i])
		if errors.Is(err, unix.ENOENT) { // it was just removed
			return false, nil
		}
		if err != nil || len(rules) != len(want.rules) {
			return false, err
		}
	}
	return true, nil
}

// denyChain is one hook and its rules.
type denyChain struct {
	family nftables.TableFamily
	name   string
	hook   *nftables.ChainHook
	rules  [][]expr.Any
}

// Hooks of family arp (linux/netfilter_arp.h).
const hookARPIn, hookARPOut = 0, 1

// loopbackType is ARPHRD_LOOPBACK of linux/if_arp.h: local traffic is not denied.
const loopbackType = 772

// denyChains returns all hooks. Requests for an address are not answered, except announcements,
// from which the kernel learns. IP packets are checked on delivery to, and sending by, local
// programs; forwarded packets, as of containers, are not affected.
func denyChains() []denyChain {
	drop, pass := &expr.Verdict{Kind: expr.VerdictDrop}, &expr.Verdict{Kind: expr.VerdictAccept}
	request := []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: arpOperation, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, byte(Request)}},
	}
	rule := func(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }
	return []denyChain{
		{nftables.TableFamilyARP, "in", nftables.ChainHookRef(hookARPIn), [][]expr.Any{
			rule(pairIn(deniedPairs), []expr.Any{pass}),
			rule(request, fieldIn(arpTarget, 4, deniedAddresses), []expr.Any{drop}),
		}},
		{nftables.TableFamilyARP, "out", nftables.ChainHookRef(hookARPOut), [][]expr.Any{
			rule(fieldIn(arpSender, 4, deniedAddresses), []expr.Any{drop}),
		}},
		{nftables.TableFamilyINet, "in", nftables.ChainHookInput, [][]expr.Any{
			rule(ip(unix.NFPROTO_IPV4, expr.MetaKeyIIFTYPE), fieldIn(ipv4Target, 4, deniedAddresses), []expr.Any{drop}),
			rule(ip(unix.NFPROTO_IPV6, expr.MetaKeyIIFTYPE), fieldIn(ipv6Target, 16, deniedIPv6), []expr.Any{drop}),
			rule(ip(unix.NFPROTO_IPV6, expr.MetaKeyIIFTYPE), discovery(solicitation), fieldIn(neighbourTarget, 16, deniedIPv6), []expr.Any{drop}),
		}},
		{nftables.TableFamilyINet, "out", nftables.ChainHookOutput, [][]expr.Any{
			rule(ip(unix.NFPROTO_IPV4, expr.MetaKeyOIFTYPE), fieldIn(ipv4Source, 4, deniedAddresses), []expr.Any{drop}),
			rule(ip(unix.NFPROTO_IPV6, expr.MetaKeyOIFTYPE), fieldIn(ipv6Source, 16, deniedIPv6), []expr.Any{drop}),
			rule(ip(unix.NFPROTO_IPV6, expr.MetaKeyOIFTYPE), discovery(advertisement), fieldIn(neighbourTarget, 16, deniedIPv6), []expr.Any{drop}),
		}},
	}
}

// ip matches packets of an IP version on an interface other than loopback.
func ip(family byte, interfaceType expr.MetaKey) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Meta{Key: interfaceType, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint16(loopbackType)},
	}
}

// discovery matches one kind of neighbour discovery, which has no extension headers.
func discovery(kind byte) []expr.Any {
	return slices.Concat(header(ipv6Next, []byte{icmpv6}), header(icmpv6Type, []byte{kind}))
}

// fieldIn matches a field of the network header that is in a set.
func fieldIn(offset, length uint32, set string) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: set},
	}
}

// pairIn matches an ARP frame whose sender and target are a pair in a set. Registers from 8 on have
// four bytes each and are adjacent.
func pairIn(set string) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 8, Base: expr.PayloadBaseNetworkHeader, Offset: arpSender, Len: 4},
		&expr.Payload{DestRegister: 9, Base: expr.PayloadBaseNetworkHeader, Offset: arpTarget, Len: 4},
		&expr.Lookup{SourceRegister: 8, SetName: set},
	}
}
