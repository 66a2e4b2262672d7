package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

type initOptions struct {
	serverFlags
	server string
	dryRun bool
	force  bool
	reason string
}

// newInitCommand returns `init`.
func newInitCommand(a *app) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Make this the first server of a new system",
		Long: `Init makes the cluster document of a new system with this server in it, the key
that the system's servers share (gossip.key), and this server's settings. Other
servers are added with 'mxcluster server add' and come in with 'mxcluster join'.`,
		Example:     "  mxcluster init --server srv1 --base 10.0.0.11/24 --interface eth0 --lim 1",
		Annotations: exits(fault.Refused, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runInit(c.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.server, "server", "", "`name` of this server")
	o.addFlags(c.Flags())
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be made, write nothing")
	c.Flags().BoolVar(&o.force, "force", false, "do so although there is no such interface here yet")
	c.Flags().StringVar(&o.reason, "reason", "", "`text` that says why, for the record of changes")
	return c
}

// runInit may be repeated: it makes what is missing, and refuses to replace anything.
func runInit(ctx context.Context, a *app, o initOptions) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	if o.server == "" {
		host, _ := os.Hostname() // a default to offer, nothing more
		if o.server, err = a.ask.Ask("server", "Name of this server", host); err != nil {
			return err
		}
	}
	first, err := o.serverFlags.server(&a.ask, o.server, netip.Prefix{})
	if err != nil {
		return err
	}
	doc, err := newSystem(first)
	if err != nil {
		return err
	}
	doc.Changed = clusterconf.Change{By: a.env.User(), On: o.server, Command: "init", Reason: o.reason}
	store := a.store(dirs)
	already, err := initialised(store, first)
	if err != nil {
		return fmt.Errorf("making a new system: %w", err)
	}
	missing := a.env.lookForInterface(first)
	if missing != nil && !already && !o.force {
		return fault.Wrap(missing, fault.Refused, "'ip -br link' lists those that are there; with --force it may come later", "making a new system")
	}
	text := fmt.Sprintf("a new system with server %s in %s", o.server, dirs.Config)
	switch {
	case already:
		if !o.dryRun {
			err = complete(dirs, o.server)
		}
		text += " is there already"
	case o.dryRun:
		text += " would be made"
	default:
		err = create(ctx, dirs, store, doc)
		text += " is made"
	}
	if err != nil {
		return fmt.Errorf("making a new system: %w", err)
	}
	if missing != nil {
		a.out.Warn("%v", missing)
	}
	return a.done(result{Changed: !already, DryRun: o.dryRun, Revision: doc.Revision, Text: text})
}

// newSystem returns the first document, with every rule checked before
// anything is written.
func newSystem(first clusterconf.Server) (*clusterconf.Document, error) {
	doc := clusterconf.New(rand.Text(), clusterconf.Server{})
	doc.Servers = nil
	if err := doc.AddServer(first); err != nil {
		return nil, err
	}
	return doc, nil
}

// initialised tells whether this server was made so before. Another document
// is refused.
func initialised(store *clusterconf.Store, first clusterconf.Server) (bool, error) {
	doc, err := store.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if s := doc.Server(first.Name); s != nil && s.LIM == first.LIM && s.Interface == first.Interface && hadBase(doc, s, first.Base) {
		return true, nil
	}
	return false, fault.New(fault.Refused, "'mxcluster server list' shows it; for a new system give other folders",
		"%s holds another system", store.Path)
}

// hadBase tells whether a server has or had an address as its base: `create` made
// the first one the alias.
func hadBase(doc *clusterconf.Document, s *clusterconf.Server, base netip.Prefix) bool {
	if s.Base == base {
		return true
	}
	c := doc.ClusterOfLIM(s.LIM)
	return c != nil && c.Member(s.LIM).Alias == base
}

// create writes key and settings first: a document without them would look
// whole to the agent.
func create(ctx context.Context, dirs settings.Dirs, store *clusterconf.Store, doc *clusterconf.Document) error {
	if err := complete(dirs, doc.Servers[0].Name); err != nil {
		return err
	}
	return store.Create(ctx, doc)
}

// complete makes what is missing beside the document. A key that is there
// stays: the other servers have it.
func complete(dirs settings.Dirs, name string) error {
	for _, dir := range []string{dirs.Config, dirs.State} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fault.Wrap(err, fault.CodeOf(err), "run the command as root, or choose other folders with --config-dir and --state-dir", "making folder %s", dir)
		}
	}
	_, err := settings.LoadKeys(dirs.GossipKey())
	if _, missing := os.Stat(dirs.GossipKey()); errors.Is(missing, fs.ErrNotExist) {
		var key settings.Key
		if key, err = settings.NewKey(rand.Reader, time.Time{}); err == nil {
			err = settings.WriteKeys(dirs.GossipKey(), settings.Keys{key})
		}
	}
	if err != nil {
		return err
	}
	return settings.WriteServer(dirs.Config, name)
}
