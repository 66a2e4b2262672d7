package commands

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
	"mxcluster/internal/trusted"
)

// AgentSetup is what an agent is started with.
type AgentSetup struct {
	Dirs      settings.Dirs
	Settings  *settings.Settings
	Documents *clusterconf.Store
	KeyFile   string // of the gossip keys
	Socket    string // of the control interface
	Spare     string // the same, while there is no room for that
	Version   string
	Force     bool   // what other users may change is used all the same
	OwnUser   string // see Env
	Journal   bool   // its log goes to systemd's journal
	Log       *slog.Logger
}

// newAgentRunCommand returns `agent run`.
func newAgentRunCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent of this server",
		Long: `Agent run supervises this server's cluster until it is stopped: it holds aliases,
runs the software of LIMs, takes over from servers that fail, and gives back. It
stays in the foreground and logs to standard error; a service manager starts it.

Stopped by a signal or by 'mxcluster agent stop', it leaves the LIMs as they are.
A hangup (SIGHUP), also that of its terminal, does not stop it: it does what
'mxcluster agent reload' does, and its log says what became of it.

Settings, a cluster document, and programs of exec: and ocf: services that other users
than root and the agent's own may change are refused, with the file and its mode, and
so are folders on the way to them, unless they are sticky. --force passes over it; syncs
refuse such settings all the same.`,
		Example:     "  mxcluster agent run",
		Annotations: exits(fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runAgent(c.Context(), a, force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "use settings and programs that other users may change")
	asRoot(c)
	return c
}

// runAgent checks the key before anything is touched: without it the agent could
// not tell the other servers what it does.
func runAgent(ctx context.Context, a *app, force bool) error {
	if _, own, err := a.ownedByUser(); err == nil && own && a.env.OwnUser == "" {
		return fault.New(fault.NotPermitted, "start it by its unit, 'systemctl start mxcluster-agent'; or let it run as root again: mxcluster agent own --user root",
			"starting the agent: its folders are user %s's", settings.OwnUser)
	}
	s, err := a.serverBy(force)
	if err != nil {
		return err
	}
	if !force {
		if err := s.closedToOthers(); err != nil {
			return fmt.Errorf("starting the agent: %w", err)
		}
	}
	if err := s.mayRunAgent(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	log, end := a.log(slog.LevelInfo)
	defer end()
	if err := a.env.RunAgent(ctx, AgentSetup{
		Dirs: s.dirs, Settings: s.settings, Documents: s.store, KeyFile: s.dirs.GossipKey(), Socket: control.SocketPath(s.dirs.Run), Spare: control.SocketPath(s.dirs.State),
		Version: a.env.Version.Version, Force: force, OwnUser: a.env.OwnUser, Journal: toJournal(a.env.Stderr, a.env.lookup("JOURNAL_STREAM")), Log: log,
	}); err != nil {
		return fmt.Errorf("running the agent: %w", err)
	}
	return nil
}

// closedToOthers refuses a document and a state folder that other users may change: who
// can, decides what the agent does.
func (s *server) closedToOthers() error {
	if err := trusted.Path(s.store.Path); err != nil {
		return unsafeFile(err, "the cluster document")
	}
	if err := trusted.Path(s.dirs.State); err != nil {
		return unsafeFile(err, "the state folder")
	}
	return nil
}

// unsafeFile says what others may change, and how to go on all the same.
func unsafeFile(err error, what string) error {
	if fault.HintOf(err) == "" { // it cannot be seen
		return fault.Wrap(err, fault.CodeOf(err), "run the command as root, or give other folders", "looking who may change %s", what)
	}
	return fault.New(fault.CodeOf(err), fault.HintOf(err)+"; --force of 'mxcluster agent run' and 'mxcluster service' passes over it", "%s %v", what, err)
}

// mayRunAgent makes sure of what an agent cannot do without.
func (s *server) mayRunAgent() error {
	if _, err := settings.LoadKeys(s.dirs.GossipKey()); err != nil {
		return err
	}
	doc, err := s.store.Usable()
	if err != nil {
		return err
	}
	s.resolveName(doc)
	if doc.Server(s.settings.Server) == nil && s.store.Had(s.settings.Server) {
		return nil // it was removed: the agent idles, and hears when it is added again
	}
	return s.checkKnown(doc)
}

// log returns a logger to standard error, in the journal's own form where that
// goes there, and how to end it; --verbose adds details.
func (a *app) log(level slog.Level) (log *slog.Logger, end func()) {
	if a.globals.verbose {
		level = slog.LevelDebug
	}
	return unblockedLog(a.env.Stderr, func(w io.Writer) slog.Handler {
		if toJournal(a.env.Stderr, a.env.lookup("JOURNAL_STREAM")) {
			return newJournal(w, level)
		}
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	})
}

// unblockedLog returns a logger that never waits for who reads it, and how to end it.
func unblockedLog(out io.Writer, form func(io.Writer) slog.Handler) (log *slog.Logger, end func()) {
	w, end := newAsyncWriter(out, func(lost int64) {
		log.Warn("lines of this log are missing: it was not read fast enough", "lines", lost)
	})
	log = slog.New(form(w))
	return log, end
}
