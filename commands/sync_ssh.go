package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/remoteshell"
	"mxcluster/internal/sshlogin"
	"mxcluster/xdata"
)

type setupSSHOptions struct {
	user, identity string
	port           int
	acceptHostKey  bool
	dryRun         bool
	orders         bool
	reason         string
}

// newSetupSSHCommand returns `sync setup-ssh`.
func newSetupSSHCommand(a *app) *cobra.Command {
	var o setupSSHOptions
	c := &cobra.Command{
		Use:   "setup-ssh SRV",
		Short: "Give the syncs of this server a login of their own on another",
		Long: `Sync setup-ssh makes an ed25519 key pair for the syncs of this server and logs in on
SRV once, as you may by password or key, to let that key in: it opens the data of the
LIMs that both servers may run, shows the servers of LIM 1 each other's state of the
management system, tells 'mxcluster check' what SRV sees of itself, and does nothing
else. SRV's host key is pinned. From then on
'mxcluster sync' uses this login for SRV, unless sync.rsh is set.

'mxcluster sync --all' has standbys do what this server has no part in. A key may order
that with --orders: it then starts such syncs on SRV, and still opens none of the data.

For SRV this login reads the system's configuration of ssh, not that of the person
who runs it: give --user and --port here, and set sync.rsh for what else SRV needs,
such as a ProxyJump.

Run it on each server for each one that it synchronises with: on the standby for
every regular server, on these for the standby. It may be run again at any time
and does what is missing; a key of an earlier version, which was not bound to this
server's LIMs, is let in anew. ssh asks whether SRV's host key is the right one;
without a terminal --accept-host-key takes the one that answers.`,
		Example:     "  mxcluster sync setup-ssh sb1\n  mxcluster sync setup-ssh srv2 --user root --identity ~/.ssh/id_ed25519 --accept-host-key",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runSetupSSH(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.user, "user", "", "`name` to log in by on SRV (default: ssh's own, the name here)")
	f.StringVar(&o.identity, "identity", "", "private key `file` for the first login (default: ssh's own)")
	f.IntVar(&o.port, "port", 0, "`port` of SRV's ssh (default: ssh's own, 22)")
	f.BoolVar(&o.acceptHostKey, "accept-host-key", false, "pin the host key that answers, without asking")
	f.BoolVar(&o.orders, "orders", false, "let the key also order syncs of LIMs that this server may not run")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, change nothing")
	f.StringVar(&o.reason, "reason", "", "`text` that says why, told with the result")
	return c
}

func runSetupSSH(ctx context.Context, a *app, name string, o setupSSHOptions) error {
	if o.port < 0 || o.port > 65535 {
		return fault.New(fault.Usage, "give a port from 1 to 65535", "--port: %d is not a port", o.port)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	there := doc.Server(name)
	switch {
	case there == nil:
		return fault.New(fault.NotFound, didYouMean(name, serverNames(doc), "mxcluster server list"), "setting the login of syncs up: there is no server %q", name)
	case name == s.settings.Server:
		return fault.New(fault.Usage, "name the other server", "setting the login of syncs up: %s is this server", name)
	}
	login := s.login()
	login.User = "root" // the agent's own user has no login there
	if u, err := user.Current(); err == nil && a.env.OwnUser == "" {
		login.User = u.Username
	}
	u := &sshSetup{app: a, server: s, there: there, options: o, login: login,
		host: sshlogin.Host{Name: name, Port: o.port, User: o.user}}
	changed, err := u.run(ctx)
	if err != nil {
		return fmt.Errorf("setting up the login on %s: %w", name, err)
	}
	return a.done(u.result(changed))
}

// serverNames returns the names of all servers, for a remedy.
func serverNames(doc *clusterconf.Document) (names []string) {
	for _, s := range doc.Servers {
		names = append(names, s.Name)
	}
	return names
}

// login returns the login for this server's syncs.
func (s *server) login() sshlogin.Login { return sshlogin.Login{Dir: s.dirs.SSH()} }

// sshSetup sets up the login on one server.
type sshSetup struct {
	app     *app
	server  *server
	there   *clusterconf.Server
	options setupSSHOptions
	login   sshlogin.Login
	host    sshlogin.Host
}

func (u *sshSetup) result(changed bool) result {
	r := result{Changed: changed, DryRun: u.options.dryRun, Text: fmt.Sprintf("syncs log in on %s by a key of their own", u.host.Name)}
	switch {
	case !changed:
		r.Text += " already"
	case u.options.dryRun:
		r.Text = fmt.Sprintf("syncs would log in on %s by a key of their own, in %s; it would be let in there for syncs alone", u.host.Name, u.login.Dir)
	}
	if print := u.login.Fingerprint(u.host.Name); print != "" {
		r.Text += "; its host key is pinned: " + print
	}
	if u.options.reason != "" {
		r.Text += " (" + u.options.reason + ")"
	}
	return r
}

// run does what is missing. After an interruption it can be run again.
func (u *sshSetup) run(ctx context.Context) (changed bool, err error) {
	if u.login.Has(u.host.Name) {
		opened, err := u.try(ctx)
		u.options.orders = u.options.orders || opened.Orders
		if err == nil && opened == u.wantedAccess() {
			return false, nil
		}
	}
	if u.options.dryRun {
		return true, nil
	}
	key, _, err := u.login.EnsureKey()
	if err != nil {
		return false, err
	}
	if err := u.bringKey(ctx, key); err != nil {
		return false, err
	}
	if err := u.login.Add(u.host); err != nil {
		return false, err
	}
	if _, err := u.try(ctx); err != nil {
		return false, fmt.Errorf("the key is there, but does not work: %w", err)
	}
	return true, nil
}

// wantedAccess is what the key is to give access to.
func (u *sshSetup) wantedAccess() xdata.Access {
	return xdata.Access{For: u.server.settings.Server, Orders: u.options.orders}
}

// bringKey logs in as the present user, and installs the key.
func (u *sshSetup) bringKey(ctx context.Context, key string) error {
	rsh, err := u.firstLogin()
	if err != nil {
		return err
	}
	args := []string{"sync", "accept-key", "--from", u.server.settings.Server}
	if u.options.orders {
		args = append(args, "--orders")
	}
	conn, err := remoteshell.Dial(ctx, rsh, u.there.Name, u.there.Base.Addr(), args...)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, key+"\n"); err != nil {
		u.app.out.Detail("sending the key: %v", err) // the answer contains the reason
	}
	first := ""
	for lines := bufio.NewReader(io.LimitReader(conn, maxKeyAnswer)); ; {
		line, err := lines.ReadString('\n')
		if first == "" {
			first = strings.TrimSpace(line)
		}
		switch {
		case strings.HasSuffix(strings.TrimSpace(line), keyAccepted): // the login may print something before it
			return nil
		case errors.Is(err, io.EOF):
			return fault.New(fault.Unreachable, "make sure that sync.remote_command starts mxcluster there, of the same version",
				"the answer is not that of mxcluster: %.80q", first)
		case err != nil:
			return err
		}
	}
}

// maxKeyAnswer bounds the answer to a key, including the login's output.
const maxKeyAnswer = 64 << 10

// firstLogin is the login of the present user, who may be asked for a password.
func (u *sshSetup) firstLogin() (remoteshell.Shell, error) {
	words := append([]string{"ssh"}, u.login.BootstrapOptions(u.host, u.options.identity, u.options.acceptHostKey, u.server.settings.SyncLoginLimit)...)
	for i, w := range words {
		var err error
		if words[i], err = syntax.Quote(w, syntax.LangPOSIX); err != nil {
			return remoteshell.Shell{}, err
		}
	}
	rsh := u.server.rsh()
	rsh.Command, rsh.Patience = strings.Join(words, " ")+" {address}", 0
	return rsh, nil
}

// try logs in with the key and waits for the greeting of a sync.
func (u *sshSetup) try(ctx context.Context) (xdata.Access, error) {
	rsh := u.server.rsh()
	rsh.Command = u.server.dirs.OwnRSH()
	return u.server.awaitGreeting(ctx, rsh, u.there)
}
