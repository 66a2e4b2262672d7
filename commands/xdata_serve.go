package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// newXdataServeCommand returns `xdata serve`.
func newXdataServeCommand(a *app) *cobra.Command {
	var k syncKey
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer a sync of another server on standard input and output",
		Long: `Xdata serve is the other end of 'mxcluster sync', which starts it through
sync.rsh. It gives and takes the data of the LIMs that this server may run, or, as the
forced command of the ssh key of another server, which --from names, of those that both
may run. It refuses to talk to a terminal.`,
		Example:     `  restrict,command="mxcluster xdata serve --from sb1" ssh-ed25519 AAAA... root@sb1`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runXdataServe(c.Context(), a, k)
		},
	}
	c.Flags().StringVar(&k.from, "from", "", "`name` of the server whose key started it")
	return c
}

// runXdataServe serves the LIMs that this server may run; if it was started by a key, only those
// that the key's server may run, too.
func runXdataServe(ctx context.Context, a *app, k syncKey) error {
	// A person would see binary frames and wait without end.
	if a.env.Terminal(a.env.Stdin) || a.env.Terminal(a.env.Stdout) {
		return fault.New(fault.Usage, "run 'mxcluster sync', which starts it on the other server by itself",
			"xdata serve talks to another mxcluster, not to a terminal")
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	if err := s.checkKnown(doc); err != nil {
		return fmt.Errorf("answering a sync: %w", err)
	}
	h, err := k.used(a.env).holds(doc, s.settings.Server)
	if err != nil {
		return fmt.Errorf("answering a sync: %w", err)
	}
	store := s.versions()
	store.Side = s.side()
	store.Spare, store.Warn = s.reservedVersions(doc), nil // they are sent to the other side
	opt := xdata.ServeOptions{LIMs: h.lims, Access: h.opened, Warn: h.old, Idle: s.settings.SyncIdleLimit, Active: func(lim int) bool { return s.runs(ctx, lim) }, Synced: func(lim int) {
		if err := s.syncs().Note(lim, a.env.Now(), nil); err != nil {
			a.out.Detail("%v", err)
		}
	}}
	defer s.tellData(ctx)
	return xdata.Serve(ctx, store, a.env.Stdin, a.env.Stdout, opt)
}

// limsOfServer returns the LIMs that a server may run: its own, or, on a standby, all of its
// cluster. The list is never nil.
func limsOfServer(doc *clusterconf.Document, server string) []int {
	lims := []int{}
	me := doc.Server(server)
	if me == nil {
		return lims
	}
	if me.LIM != 0 {
		lims = append(lims, me.LIM)
	}
	if c := doc.ClusterOfServer(me.Name); c != nil && c.Standby == me.Name {
		for _, m := range c.LIMs {
			lims = append(lims, m.LIM)
		}
	}
	return lims
}

// reservedVersions is how many versions of an incoming one's size this server must have room for.
func (s *server) reservedVersions(doc *clusterconf.Document) int {
	if me := doc.Server(s.settings.Server); me != nil && me.Standby {
		return xdata.StandbySpare
	}
	return 1
}
