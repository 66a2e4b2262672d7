package commands

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
	"mxcluster/internal/trusted"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// envOutput is the environment variable for the default of --output.
const envOutput = "MXCLUSTER_OUTPUT"

// lookup returns an environment variable; "" if it is not set. If it is set twice the last value
// counts, as in os/exec.
func (e Env) lookup(key string) string {
	value := ""
	for _, v := range e.Environ {
		if name, rest, _ := strings.Cut(v, "="); name == key {
			value = rest
		}
	}
	return value
}

// app is the state shared by the commands of one command line.
type app struct {
	env     Env
	stdout  *sink
	globals globals
	reason  string // for commands that do not store it: shown with their result
	out     ui.Output
	ask     ui.Prompter
	cancel  context.CancelFunc
	expired func() bool // whether --timeout is over; nil: it was not given
}

func newApp(env Env) *app { return &app{env: env, stdout: &sink{to: env.Stdout}} }

// start applies the global flags. It runs after the command line was parsed and before the command.
func (a *app) start(c *cobra.Command, _ []string) error {
	if c.Name() == cobra.ShellCompRequestCmd {
		return nil // completion: an incomplete line is no error
	}
	if a.globals.timeout < 0 {
		return fault.New(fault.Usage, "give a duration such as 10s or 5m", "--timeout: %s is less than nothing", a.globals.timeout)
	}
	format := a.globals.output
	if format == "" {
		format = a.env.lookup(envOutput)
	}
	if format == "" {
		format = string(ui.Table)
	}
	parsed, err := ui.ParseFormat(format)
	if err != nil {
		return err
	}
	color, err := a.color()
	if err != nil {
		return err
	}
	a.out = ui.Output{
		Data: a.stdout, Notes: a.env.Stderr, Format: parsed, NoHeaders: a.globals.noHeaders, Terminal: a.env.Terminal(a.env.Stdout),
		Quiet: a.globals.quiet, Verbose: a.globals.verbose, Color: color,
	}
	a.ask = ui.Prompter{
		In: a.env.Stdin, Out: a.env.Stderr,
		Terminal: !a.globals.noInput && a.env.Terminal(a.env.Stdin) && a.env.Terminal(a.env.Stderr),
	}
	if a.globals.timeout > 0 {
		ctx, cancel := context.WithTimeout(c.Context(), a.globals.timeout)
		a.cancel = cancel
		a.expired = func() bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }
		c.SetContext(ctx)
	}
	a.ask.Interrupt = c.Context().Done()
	return a.actAsOwner(c)
}

// color decides whether tables are coloured: by the flag, else for a terminal unless NO_COLOR is
// set (no-color.org).
func (a *app) color() (bool, error) {
	switch a.globals.color {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return a.env.lookup("NO_COLOR") == "" && a.env.Terminal(a.env.Stdout), nil
	}
	return false, fault.New(fault.Usage, "use auto, always or never", "--color: bad value %q", a.globals.color)
}

// close releases what start acquired.
func (a *app) close() {
	if a.cancel != nil {
		a.cancel()
	}
}

// dirs returns the folders of this instance.
func (a *app) dirs() (settings.Dirs, error) {
	flags := settings.Dirs{Config: a.globals.configDir, State: a.globals.stateDir, Run: a.globals.runDir}
	return settings.ResolveDirs(flags, a.env.Environ)
}

// server is this server's configuration, for a command. It is opened by the commands that need it,
// so that others, such as `version`, work on a broken installation.
type server struct {
	*app
	dirs     settings.Dirs
	settings *settings.Settings
	store    *clusterconf.Store
	agent    Agent
	warnings *warnings
}

// server reads this server's settings.
func (a *app) server() (*server, error) { return a.serverBy(false) }

// serverBy is server; with force it accepts settings that other users may change, although they
// name programs to run.
func (a *app) serverBy(force bool) (*server, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	if !force {
		if err := trusted.Path(dirs.Settings()); err != nil {
			return nil, unsafeFile(err, "the settings")
		}
	}
	s, err := settings.Load(dirs, a.env.Environ)
	if err != nil {
		return nil, doing(err, "reading the settings")
	}
	return &server{app: a, dirs: dirs, settings: s, store: a.store(dirs), agent: a.agentOf(dirs), warnings: tellWarnings(&a.out)}, nil
}

// store returns the cluster document of an instance.
func (a *app) store(dirs settings.Dirs) *clusterconf.Store {
	return &clusterconf.Store{
		Path:       filepath.Join(dirs.Config, "cluster.yaml"),
		HistoryDir: filepath.Join(dirs.State, "history"),
		Now:        a.env.Now,
	}
}

// agent returns the client of this server's agent. It needs no settings.
func (a *app) agent() (Agent, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	return a.agentOf(dirs), nil
}

// agentOf returns the client of the agent with these folders, which listens in the runtime folder, or
// in the state folder while that has no room.
func (a *app) agentOf(dirs settings.Dirs) Agent {
	return a.env.Agent(control.SocketPath(dirs.Run), control.SocketPath(dirs.State), a.startCommand(dirs))
}

// startCommand is what to type here to have the agent run.
func (a *app) startCommand(dirs settings.Dirs) string { return dirs.StartCommand(a.env.Machine.Files) }

// versions returns this server's data versions.
func (s *server) versions() *xdata.Store {
	return &xdata.Store{Dir: s.settings.XDataDir, Now: s.env.Now, Still: xdata.StillOf(s.settings.XDataStill), Paired: s.paired,
		Notes: s.dirs.Findings(), Warn: s.warnings.warn}
}

// tellData has the agent look at the data versions here, so that what it and the others show is true
// at once. It would look by itself within a second.
func (s *server) tellData(ctx context.Context) {
	if err := s.agent.LookAtData(context.WithoutCancel(ctx)); err != nil && s.agent.Running(ctx) {
		s.out.Detail("the agent was not told that data changed: %v", err)
	}
}

// paired reports whether a LIM has another side by the document; if that cannot be read, it has.
func (s *server) paired(lim int) bool {
	doc, err := s.store.Read()
	return err != nil || doc.ClusterOfLIM(lim) != nil
}

// active returns where a LIM is active, by the agent; known is false if no agent answers, or it
// does not know.
func (s *server) active(ctx context.Context, lim int) (on string, known bool) {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return "", false
	}
	l := st.LIM(lim)
	switch {
	case l == nil:
		return "", false
	case l.ActiveOn != nil:
		return *l.ActiveOn, true
	}
	return "", l.Side == "none"
}

// runs reports whether a LIM is known to run here.
func (s *server) runs(ctx context.Context, lim int) bool {
	on, known := s.active(ctx, lim)
	return known && on == s.settings.Server
}

// address returns this server's base address, for messages to others.
func (s *server) address(doc *clusterconf.Document) string {
	if me := doc.Server(s.settings.Server); me != nil {
		return me.Base.Addr().String()
	}
	return "ADDR"
}
