package commands

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// Kernels ignore an update of a neighbour's address that follows another within
// a second, so announcements are repeated, and farther apart than that.
const (
	announceCount    = 3
	announceInterval = 1100 * time.Millisecond
)

type arpAnnounceOptions struct {
	ifname string
	count  int
	dryRun bool
}

// newARPAnnounceCommand returns `arp announce`.
func newARPAnnounceCommand(a *app) *cobra.Command {
	var o arpAnnounceOptions
	c := &cobra.Command{
		Use:   "announce ADDR",
		Short: "Tell every station that this server has an address",
		Long: `Arp announce sends gratuitous ARP, as a request and as a reply, for an address
that this server has; for another one it is refused. For an IPv6 address it sends
an unsolicited neighbour advertisement with the override flag.`,
		Example:     "  mxcluster arp announce 10.0.0.11 --interface eth0\n  mxcluster arp announce 10.0.0.11 --interface eth0 --count 1",
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted),
		Args:        arguments("ADDR"),
		RunE: func(c *cobra.Command, args []string) error {
			return runARPAnnounce(c.Context(), a, args[0], o)
		},
	}
	c.Flags().StringVar(&o.ifname, "interface", "", "`interface` to send on")
	c.Flags().IntVar(&o.count, "count", announceCount, "`number` of announcements, 1.1 s apart")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be announced, send nothing")
	a.addReason(c.Flags())
	return c
}

// runARPAnnounce announces what this server has; see announce.
func runARPAnnounce(ctx context.Context, a *app, arg string, o arpAnnounceOptions) error {
	addr, ifname, err := arpTarget(&a.ask, arg, o.ifname)
	if err != nil {
		return err
	}
	if o.count < 1 {
		return fault.New(fault.Usage, "give 1 or more", "--count: cannot announce %d times", o.count)
	}
	k, err := a.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	if o.dryRun {
		if err := mayAnnounce(k, ifname, addr); err != nil {
			return err
		}
		return a.done(result{Changed: true, DryRun: true, Text: fmt.Sprintf("%s would be announced on %s", addr, ifname)})
	}
	if err := a.announce(ctx, k, ifname, addr, o.count); err != nil {
		return err
	}
	return a.done(result{Changed: true, Text: fmt.Sprintf("%s announced on %s", addr, ifname)})
}

// announce sends announcements of an address that this server has. Before each
// it looks whether that is still so: announcing what another has meanwhile
// would take its clients away.
func (a *app) announce(ctx context.Context, k Kernel, ifname string, addr netip.Addr, count int) error {
	w, err := a.env.Wire(ifname)
	if err != nil {
		return err
	}
	defer w.Close()
	tick := time.NewTicker(announceInterval)
	defer tick.Stop()
	for i := range count {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := mayAnnounce(k, ifname, addr); err != nil {
			return err
		}
		if err := w.Announce(addr); err != nil {
			return err
		}
	}
	return nil
}

// mayAnnounce refuses to announce what this server does not have.
func mayAnnounce(k Kernel, ifname string, addr netip.Addr) error {
	addresses, err := k.Addresses(ifname)
	if err != nil {
		return fmt.Errorf("announcing %s: %w", addr, err)
	}
	if !slices.ContainsFunc(addresses, func(a netops.Address) bool { return a.Prefix.Addr() == addr }) {
		return fault.New(fault.Refused, "'mxcluster alias up N' brings the alias of a LIM up", "announcing %s: %s does not have it", addr, ifname)
	}
	return nil
}
