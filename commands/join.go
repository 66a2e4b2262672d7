package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

// joinLimit is how long the other server may take to answer where --timeout
// does not say.
const joinLimit = 10 * time.Second

type joinOptions struct {
	server  string
	keyFile string
	dryRun  bool
}

// newJoinCommand returns `join`.
func newJoinCommand(a *app) *cobra.Command {
	var o joinOptions
	c := &cobra.Command{
		Use:   "join ADDR",
		Short: "Make this a server of the system found at an address",
		Long: `Join fetches the cluster document from the agent of the server with base address
ADDR, and stores it here with the system's key and this server's name. This
server must be in the document ('mxcluster server add' on any server of the
system), and its agent must not run yet. This machine must have one of that server's
addresses, and nobody else may answer for its base. Take gossip.key from a server of the
system, over a way that nobody else can read.`,
		Example: `  mxcluster join 10.0.0.11 --server srv2 --key-file /root/gossip.key
  ssh srv1 cat /etc/mxcluster/gossip.key | mxcluster join 10.0.0.11 --key-file -`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments("ADDR"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := runJoin(c.Context(), a, args[0], o); err != nil {
				return fmt.Errorf("joining the system at %s: %w", args[0], err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.server, "server", "", "`name` of this server (default: the setting 'server', else the host name)")
	c.Flags().StringVar(&o.keyFile, "key-file", "", "`file` with the system's gossip key, - for standard input (default: the one in the configuration folder)")
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "fetch the document and say what would be done, write nothing")
	return c
}

// runJoin checks everything before it writes anything: a server that is half in a
// system would be worse off than one that is not.
func runJoin(ctx context.Context, a *app, arg string, o joinOptions) error {
	addr, err := netip.ParseAddr(arg)
	if err != nil {
		return fault.New(fault.Usage, "give the base address of a server of the system, e.g. 10.0.0.11", "%q is not an address", arg)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	if o.server == "" {
		o.server = s.settings.Server
	}
	if s.agent.Running(ctx) {
		return fault.New(fault.Refused, "this server is in a system already; stop the agent first if that shall change", "an agent runs here")
	}
	keys, err := s.joinKeys(o.keyFile)
	if err != nil {
		return err
	}
	doc, err := a.fetch(ctx, netip.AddrPortFrom(addr, uint16(s.settings.GossipPort)), keys)
	if err != nil {
		return belowLevel(err)
	}
	if err := mayJoin(s.store, doc, o.server); err != nil {
		return err
	}
	if err := a.checkIdentity(ctx, doc, doc.Server(o.server)); err != nil {
		return err
	}
	r := result{Changed: true, DryRun: o.dryRun, Revision: doc.Revision, Text: fmt.Sprintf("%s would join the system", o.server)}
	if !o.dryRun {
		if err := adopt(ctx, s, doc, o.server, keys); err != nil {
			return err
		}
		r.Text = fmt.Sprintf("%s is a server of the system, with its document of revision %d", o.server, doc.Revision)
		r.Left = []string{a.startCommand(s.dirs)}
	}
	return a.done(r)
}

// belowLevel refuses a document that this version is too old for.
func belowLevel(err error) error {
	var wrong *clusterconf.ValidationError
	if errors.As(err, &wrong) {
		for _, v := range wrong.Violations {
			if v.Rule == "level" {
				return fault.New(fault.Refused, v.Hint, "this server cannot join: %s", v.Message)
			}
		}
	}
	return err
}

// joinKeys reads the system's gossip keys: from a file, standard input, or where a
// former join or the administrator put it.
func (s *server) joinKeys(file string) (settings.Keys, error) {
	switch file {
	case "-":
		keys, err := settings.ReadKeys(s.env.Stdin)
		return keys, fault.Wrap(err, fault.CodeOf(err), "", "standard input")
	case "":
		if _, err := os.Stat(s.dirs.GossipKey()); errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Usage, "give --key-file FILE with a copy of gossip.key from a server of the system",
				"there is no key here")
		}
		return settings.LoadKeys(s.dirs.GossipKey())
	}
	return settings.LoadKeys(file)
}

// fetch gets the document. Whoever gave no time does not wait for ever.
func (a *app) fetch(ctx context.Context, from netip.AddrPort, keys settings.Keys) (*clusterconf.Document, error) {
	if _, limited := ctx.Deadline(); !limited {
		limited, cancel := context.WithTimeout(ctx, joinLimit)
		defer cancel()
		ctx = limited
	}
	log, end := a.log(slog.LevelError)
	defer end()
	return a.env.Fetch(ctx, from, keys.Secrets(), log)
}

// mayJoin checks that the system knows this server, and that this server is in
// no other system.
func mayJoin(store *clusterconf.Store, doc *clusterconf.Document, name string) error {
	if doc.Server(name) == nil {
		var names []string
		for _, s := range doc.Servers {
			names = append(names, s.Name)
		}
		return fault.New(fault.NotFound, didYouMean(name, names, "there: mxcluster server add "+name+"; or give the right name with --server"),
			"the system has no server %q", name)
	}
	old, err := store.Read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case old.System != doc.System:
		return fault.New(fault.Refused, "to leave that one, remove the file and gossip.key", "%s is of another system", store.Path)
	}
	return nil
}

// adopt stores the key first: a document without it would look whole.
func adopt(ctx context.Context, s *server, doc *clusterconf.Document, name string, keys settings.Keys) error {
	if err := settings.WriteKeys(s.dirs.GossipKey(), keys); err != nil {
		return err
	}
	if err := settings.WriteServer(s.dirs.Config, name); err != nil {
		return err
	}
	_, err := s.store.Adopt(ctx, clusterconf.Freeze(doc))
	return err
}
