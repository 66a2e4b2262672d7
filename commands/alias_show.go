package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/netops"
)

// aliasList is the answer of `alias show -o json`.
type aliasList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"` // AliasList
	Server     string       `json:"server"`
	Aliases    []aliasEntry `json:"aliases"`
}

// aliasEntry is one alias. Permanent and remainingMs are null where this server
// does not have it, remainingMs where it has it for ever.
type aliasEntry struct {
	LIM         int    `json:"lim"`
	Address     string `json:"address"`
	Interface   string `json:"interface"`
	Present     bool   `json:"present"`
	Permanent   *bool  `json:"permanent"`
	RemainingMs *int64 `json:"remainingMs"`
	Blocked     *bool  `json:"blocked"` // null: this user may not ask

	Denied    *bool    `json:"denied"`    // on all interfaces; null: this user may not ask
	Elsewhere []string `json:"elsewhere"` // interfaces and prefixes, where it should not be
}

// newAliasShowCommand returns `alias show`.
func newAliasShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which aliases this server has",
		Long: `Alias show asks this server's kernel which of the aliases that it may have are on
its interface, for how long, whether they are blocked there and denied on all
interfaces, and where else on this server they are.`,
		Example:     "  mxcluster alias show\n  mxcluster alias show -o json",
		Annotations: exits(fault.Refused, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runAliasShow(a) },
	}
}

func runAliasShow(a *app) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	k, err := a.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	list := aliasList{APIVersion: clusterconf.APIVersion, Kind: "AliasList", Server: s.settings.Server, Aliases: []aliasEntry{}}
	all, err := k.Addresses("")
	if err != nil {
		return err
	}
	for _, h := range s.aliases(doc) {
		addresses, err := k.Addresses(h.ifname)
		if err != nil {
			return interfaceRefused(err)
		}
		e := newAliasEntry(h, addresses)
		if e.Blocked, err = isBlocked(k, h); err != nil {
			return err
		}
		if e.Denied, err = isDenied(k, h); err != nil {
			return err
		}
		e.Elsewhere = otherPlaces(all, addresses, h)
		list.Aliases = append(list.Aliases, e)
	}
	return a.out.Show(list.view())
}

// isBlocked tells whether an alias is kept off the wire; nil where this user may not
// ask, for the rest is worth showing.
func isBlocked(k Kernel, h aliasHere) (*bool, error) {
	blocked, err := k.Blocked(h.ifname)
	if fault.CodeOf(err) == fault.NotPermitted {
		return nil, nil
	}
	is := slices.Contains(blocked, h.member.Alias.Addr())
	return &is, err
}

// isDenied tells whether an alias is kept off the wire of all interfaces; nil where
// this user may not ask.
func isDenied(k Kernel, h aliasHere) (*bool, error) {
	denied, err := k.Denied()
	if fault.CodeOf(err) == fault.NotPermitted {
		return nil, nil
	}
	is := slices.Contains(denied, h.member.Alias.Addr())
	return &is, err
}

// otherPlaces are the other places of an alias on this server: other interfaces than the
// document's, whose addresses are own, and other prefixes.
func otherPlaces(all, own []netops.Address, h aliasHere) []string {
	places := []string{}
	for _, x := range all {
		right := x.Prefix == h.member.Alias && slices.Contains(own, x)
		if x.Prefix.Addr() == h.member.Alias.Addr() && !right {
			places = append(places, fmt.Sprintf("%s %s", x.Interface, x.Prefix))
		}
	}
	return places
}

// newAliasEntry describes an alias by what the kernel has. The prefix length must
// match, too: with another one it is another address.
func newAliasEntry(h aliasHere, addresses []netops.Address) aliasEntry {
	e := aliasEntry{LIM: h.member.LIM, Address: h.member.Alias.String(), Interface: h.ifname}
	i := slices.IndexFunc(addresses, func(a netops.Address) bool { return a.Prefix == h.member.Alias })
	if i < 0 {
		return e
	}
	e.Present, e.Permanent = true, &addresses[i].Permanent
	if !addresses[i].Permanent {
		ms := addresses[i].Remaining.Milliseconds()
		e.RemainingMs = &ms
	}
	return e
}

func yesNoUnknown(is *bool) string {
	if is == nil {
		return "unknown"
	}
	return yesNo(*is)
}

func (l aliasList) view() ui.View {
	v := ui.View{
		Object:  l,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "ALIAS"}, {Head: "INTERFACE"}, {Head: "PRESENT"}, {Head: "BLOCKED"}, {Head: "LIFETIME", Right: true}, {Head: "DENIED", Wide: true}, {Head: "ELSEWHERE", Wide: true}},
		Empty:   "this server is in no cluster",
	}
	for _, e := range l.Aliases {
		lifetime, present, blocked := "", yesNo(e.Present), yesNoUnknown(e.Blocked)
		if !e.Present && len(e.Elsewhere) > 0 {
			present = "elsewhere"
		}
		if e.Denied != nil && *e.Denied && blocked == "no" {
			blocked = "denied"
		}
		switch {
		case e.RemainingMs != nil:
			lifetime = strconv.FormatInt(*e.RemainingMs/1000, 10) + "s"
		case e.Present:
			lifetime = "permanent"
		}
		v.Rows = append(v.Rows, []string{strconv.Itoa(e.LIM), e.Address, e.Interface, present, blocked, lifetime, yesNoUnknown(e.Denied), strings.Join(e.Elsewhere, ", ")})
		v.Names = append(v.Names, e.Address)
	}
	return v
}
