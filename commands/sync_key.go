package commands

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// syncKey is the ssh key by which another server logs in, as described by its forced command in
// authorized_keys.
type syncKey struct {
	from   string // the server with the key; "": not stated, as in lines of earlier versions
	orders bool   // it may order syncs of LIMs that its server may not run
	forced bool   // the login was by a key with a forced command
	came   string // origin of the login (SSH_CONNECTION of sshd)
}

func (k *syncKey) flags(c *cobra.Command) {
	c.Flags().StringVar(&k.from, "from", "", "`name` of the server whose key it is")
	c.Flags().BoolVar(&k.orders, "orders", false, "let it order syncs of LIMs that its server may not run")
}

// holder is what a login may access.
type holder struct {
	lims   []int // never nil
	opened xdata.Access
	old    string // remedy for a key that is not bound to a server; "": none is needed
}

// used adds what sshd says about the login. One without a forced command has no original command.
func (k syncKey) used(e Env) syncKey {
	k.forced, k.came = k.forced || e.lookup("SSH_ORIGINAL_COMMAND") != "", e.lookup("SSH_CONNECTION")
	return k
}

// holds returns what a key may access on the server me: data of the LIMs that both servers may run.
// If the line does not name the key's server, it is found by the login's origin. A login without
// such a key may do what this server may.
func (k syncKey) holds(doc *clusterconf.Document, me string) (holder, error) {
	own := limsOfServer(doc, me)
	if k.from == "" && !k.forced {
		return holder{lims: own}, nil
	}
	var h holder
	var theirs []int
	switch {
	case k.from == "":
		from, lims := loginFrom(doc, k.came)
		if from == "" {
			return h, fault.New(fault.NotPermitted, fmt.Sprintf("run 'mxcluster sync setup-ssh %s' on the server whose key it is, which binds the key to it", me),
				"the line of this key in authorized_keys on %s names no server, and the login comes from none", me)
		}
		theirs = lims
		h.old = fmt.Sprintf("the key of %s is let in on %s by its address alone: run 'mxcluster sync setup-ssh %s' on %s, which binds it", from, me, me, from)
	case doc.Server(k.from) == nil:
		return h, fault.New(fault.NotPermitted, "mxcluster server list", "the key is that of %q, and there is no such server", k.from)
	default:
		theirs = limsOfServer(doc, k.from)
		h.opened = xdata.Access{For: k.from, Orders: k.orders}
	}
	h.lims = slices.DeleteFunc(own, func(lim int) bool { return !slices.Contains(theirs, lim) })
	return h, nil
}

// loginFrom returns the server that a login comes from, by its base, former base, or the alias of a
// LIM that it may run; "": unknown.
func loginFrom(doc *clusterconf.Document, connection string) (who string, lims []int) {
	text, _, _ := strings.Cut(connection, " ")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", nil
	}
	addr = addr.Unmap().WithZone("")
	for i := range doc.Servers {
		if s := &doc.Servers[i]; s.Base.Addr() == addr || s.ReachedAt.IsValid() && s.ReachedAt.Addr() == addr {
			return s.Name, limsOfServer(doc, s.Name)
		}
	}
	for i := range doc.Clusters {
		for _, m := range doc.Clusters[i].LIMs {
			if m.Alias.Addr() == addr {
				return doc.RegularOf(m.LIM).Name, []int{m.LIM}
			}
		}
	}
	return "", nil
}

// mayOrder checks whether a key may order a sync here: of LIMs whose data it may access or, if it
// was accepted with --orders, of any.
func (k syncKey) mayOrder(doc *clusterconf.Document, me string, asked sshCommand) error {
	h, err := k.holds(doc, me)
	if err != nil || h.opened.Orders {
		return err
	}
	lims := asked.sync.lims
	if c := doc.Cluster(asked.cluster); c != nil && len(lims) == 0 {
		for _, m := range c.LIMs {
			lims = append(lims, m.LIM)
		}
	}
	for _, lim := range lims {
		if !slices.Contains(h.lims, lim) {
			return fault.New(fault.NotPermitted,
				fmt.Sprintf("run the sync on %s, or 'mxcluster sync setup-ssh %s --orders' where it was ordered", me, me),
				"this key may not order a sync of LIM %d on %s: its server does not run that LIM", lim, me)
		}
	}
	return nil
}
