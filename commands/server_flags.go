package commands

import (
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// serverFlags are the flags for a server's properties.
type serverFlags struct {
	base, ifname string
	lim          int
}

func (o *serverFlags) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.base, "base", "", "base `address` with its prefix length, which never moves, e.g. 10.0.0.11/24")
	f.StringVar(&o.ifname, "interface", "", "network `interface` that has it, e.g. eth0")
	f.IntVar(&o.lim, "lim", 0, "`number` of the LIM of a regular server")
}

// server returns the described server; on a terminal it asks for missing properties.
func (o *serverFlags) server(ask *ui.Prompter, name string, like netip.Prefix) (clusterconf.Server, error) {
	var none clusterconf.Server
	var err error
	if o.base == "" {
		if o.base, err = ask.Ask("base", "Base address, e.g. 10.0.0.11/24", ""); err != nil {
			return none, err
		}
	}
	base, err := clusterconf.ParseAddress(o.base, like)
	if err != nil {
		return none, fault.Wrap(err, fault.CodeOf(err), "", "--base")
	}
	if o.ifname == "" {
		if o.ifname, err = ask.Ask("interface", "Interface that has it, e.g. eth0", ""); err != nil {
			return none, err
		}
	}
	if o.lim < 0 || o.lim > clusterconf.MaxLIMNumber {
		return none, fault.New(fault.Usage, fmt.Sprintf("give a number from 1 to %d, or leave it out for a free server", clusterconf.MaxLIMNumber),
			"--lim: %d is not a LIM number", o.lim)
	}
	return clusterconf.Server{Name: name, Base: base, Interface: o.ifname, LIM: o.lim}, nil
}
