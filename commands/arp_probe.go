package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// probeResult is the answer of `arp probe -o json`.
type probeResult struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"` // ProbeResult
	Address    string  `json:"address"`
	Interface  string  `json:"interface"`
	InUse      bool    `json:"inUse"`
	MAC        *string `json:"mac"`
}

// newARPProbeCommand returns `arp probe`.
func newARPProbeCommand(a *app) *cobra.Command {
	var ifname string
	c := &cobra.Command{
		Use:   "probe ADDR",
		Short: "Ask whether another station has an address",
		Long: `Arp probe asks on one interface who has an address, in a way that disturbs nobody
(RFC 5227; for an IPv6 address a neighbour solicitation from ::, RFC 4862). It
prints the MAC address of the station that answers and ends with exit code 3;
where none answers it ends with 0.`,
		Example:     "  mxcluster arp probe 10.0.0.11 --interface eth0",
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted),
		Args:        arguments("ADDR"),
		RunE: func(c *cobra.Command, args []string) error {
			return runARPProbe(c.Context(), a, args[0], ifname)
		},
	}
	c.Flags().StringVar(&ifname, "interface", "", "`interface` to ask on")
	return c
}

// runARPProbe prints the MAC alone, so that a script can take it as it is.
func runARPProbe(ctx context.Context, a *app, arg, ifname string) error {
	addr, ifname, err := arpTarget(&a.ask, arg, ifname)
	if err != nil {
		return err
	}
	mac, err := a.env.probe(ctx, ifname, addr)
	if err != nil {
		return err
	}
	r := probeResult{APIVersion: clusterconf.APIVersion, Kind: "ProbeResult", Address: addr.String(), Interface: ifname, InUse: mac != nil}
	var names []string
	if mac != nil {
		text := mac.String()
		r.MAC, names = &text, []string{text}
	}
	switch {
	case a.out.Machine():
		err = a.out.Show(ui.View{Object: r})
	case mac != nil:
		err = a.out.Lines(names[0])
	default:
		a.out.Note("%s is free on %s", addr, ifname)
	}
	if err == nil && mac != nil {
		err = fault.New(fault.Refused, "", "%s is in use by %s", addr, mac)
	}
	return err
}
