package commands

import (
	"slices"
	"strconv"

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
}

// newAliasShowCommand returns `alias show`.
func newAliasShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which aliases this server has",
		Long: `Alias show asks this server's kernel which of the aliases that it may have are on
its interface, for how long, and whether they are blocked.`,
		Example:     "  mxcluster alias show\n  mxcluster alias show -o json",
		Annotations: exits(fault.Refused, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runAliasShow(a) },
	}
}

// runAliasShow looks at the interface that the document names, and at no other: an
// alias elsewhere would not serve its clients.
func runAliasShow(a *app) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.store.Read()
	if err != nil {
		return err
	}
	k, err := a.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	list := aliasList{APIVersion: clusterconf.APIVersion, Kind: "AliasList", Server: s.settings.Server, Aliases: []aliasEntry{}}
	for _, h := range s.aliases(doc) {
		addresses, err := k.Addresses(h.ifname)
		if err != nil {
			return interfaceRefused(err)
		}
		e := newAliasEntry(h, addresses)
		if e.Blocked, err = isBlocked(k, h); err != nil {
			return err
		}
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

func (l aliasList) view() ui.View {
	v := ui.View{
		Object:  l,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "ALIAS"}, {Head: "INTERFACE"}, {Head: "PRESENT"}, {Head: "BLOCKED"}, {Head: "LIFETIME", Right: true}},
		Empty:   "this server is in no cluster",
	}
	for _, e := range l.Aliases {
		lifetime, blocked := "", "unknown"
		if e.Blocked != nil {
			blocked = yesNo(*e.Blocked)
		}
		switch {
		case e.RemainingMs != nil:
			lifetime = strconv.FormatInt(*e.RemainingMs/1000, 10) + "s"
		case e.Present:
			lifetime = "permanent"
		}
		v.Rows = append(v.Rows, []string{strconv.Itoa(e.LIM), e.Address, e.Interface, yesNo(e.Present), blocked, lifetime})
		v.Names = append(v.Names, e.Address)
	}
	return v
}
