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
	return &cobra.Command{
		Use:   "serve",
		Short: "Answer a sync of another server on standard input and output",
		Long: `Xdata serve is the other end of 'mxcluster sync', which starts it through
sync.rsh. It gives and takes the data of the LIMs that this server may run, and
can be the forced command of an ssh key. It refuses to talk to a terminal.`,
		Example:     `  restrict,command="mxcluster xdata serve" ssh-ed25519 AAAA... root@sb1`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runXdataServe(c.Context(), a)
		},
	}
}

// runXdataServe answers for the LIMs that this server may run, and for no other: a
// stolen key must not open the rest.
func runXdataServe(ctx context.Context, a *app) error {
	// A person would see binary frames, and then nothing for ever.
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
	if err := s.known(doc); err != nil {
		return fmt.Errorf("answering a sync: %w", err)
	}
	store := s.versions(a.env.Now)
	store.Spare, store.Warn = s.spare(doc), nil // the other side is told
	opt := xdata.ServeOptions{LIMs: s.ownLIMs(doc), Idle: s.settings.SyncIdleLimit, Active: func(lim int) bool { return s.runs(ctx, lim) }, Synced: func(lim int) {
		if err := s.syncs().Note(lim, a.env.Now(), nil); err != nil {
			a.out.Detail("%v", err)
		}
	}}
	return xdata.Serve(ctx, store, a.env.Stdin, a.env.Stdout, opt)
}

// ownLIMs are those that this server may run: its own, or, on a standby, every
// one of its cluster. The list is never nil.
func (s *server) ownLIMs(doc *clusterconf.Document) []int {
	lims := []int{}
	me := doc.Server(s.settings.Server)
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

// spare is how many versions of an incoming one's size this server must have room for.
func (s *server) spare(doc *clusterconf.Document) int {
	if me := doc.Server(s.settings.Server); me != nil && me.Standby {
		return xdata.StandbySpare
	}
	return 1
}
