package commands

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/services"
)

// ManagementPlace is this server's half of the management system's pair (package
// manager/postgres).
type ManagementPlace interface {
	Read() (*manager.Half, error)
	Look(ctx context.Context, s manager.Setup) (manager.Prepared, error)
	Do(ctx context.Context, s manager.Setup, step manager.StepID) error
	Remove(ctx context.Context) error
	Follow(ctx context.Context) (manager.Followed, error)
	Settle(ctx context.Context, synchronous bool) error
	Release(ctx context.Context) (manager.Position, error)
}

// managerAccount is the account by which people log in at the management system (spec ch. 9, steps 6
// and 7 on the master).
const (
	managerAccount = "mxone_manager"
	accountWords   = "the password of " + managerAccount + " is set"
)

type managerSetupOptions struct {
	change
	role                          string
	vip, user                     string
	passwordFile, accountPassword string
	synchronous                   string
	again                         bool // it is changed
}

// newManagerSetupCommand returns `manager setup` (spec ch. 9, "Master Configuration" and
// "Standby Configuration").
func newManagerSetupCommand(a *app) *cobra.Command {
	var o managerSetupOptions
	c := &cobra.Command{
		Use:   "setup --role master|standby --vip ADDR --replication-user U --password-file F",
		Short: "Make the management system redundant",
		Long: `Manager setup sets the redundancy of the management system up on this server: first on
the master, the regular server of LIM 1, then on the standby of its cluster. On the
master it configures PostgreSQL, makes the replication role U with the password in F, and
puts the virtual address into the cluster document. On the standby it compares address,
role and password with those of the master, replaces the data of PostgreSQL by a copy,
and ends when both servers were seen to stream. From then on the agents carry the
management system over together with LIM 1.

What stands in the way is refused before anything is changed, with the remedy: see
'mxcluster manager check'. Each step is done once: a set-up that was interrupted goes on
when it is run again, and one that is complete changes nothing.

The password files hold the password alone, and only root may read them. With
--manager-password-file the password of the account mxone_manager is set on this server,
each time anew.
With --synchronous on, a commit waits until the other server has it: none that was
acknowledged is lost, and none is acknowledged while the other server is down.`,
		Example: `  mxcluster manager setup --role master --vip 10.0.0.20 --replication-user mxone_replication --password-file /root/replication
  mxcluster manager setup --role standby --vip 10.0.0.20 --replication-user mxone_replication --password-file /root/replication`,
		Annotations: exits(editCodes()...),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runManagerSetup(c.Context(), a, o)
		},
	}
	o.flags(c)
	return c
}

// newManagerReconfigureCommand returns `manager reconfigure` (spec ch. 9, "Reconfigure").
func newManagerReconfigureCommand(a *app) *cobra.Command {
	o := managerSetupOptions{again: true}
	c := &cobra.Command{
		Use:   "reconfigure --role master|standby --vip ADDR --replication-user U --password-file F",
		Short: "Change the redundancy of the management system",
		Long: `Manager reconfigure changes what 'mxcluster manager setup' has set up: the virtual
address, the password of the replication role, or whether commits wait for the other
server. It is run on the master first, and then on the standby, where it is refused as
long as the master was not changed.`,
		Example:     "  mxcluster manager reconfigure --role master --vip 10.0.0.21 --replication-user mxone_replication --password-file /root/replication",
		Annotations: exits(editCodes()...),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runManagerSetup(c.Context(), a, o)
		},
	}
	o.flags(c)
	return c
}

func (o *managerSetupOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.role, "role", "", "`role` of this server: master or standby")
	f.StringVar(&o.vip, "vip", "", "virtual `address` of the management system, e.g. 10.0.0.20")
	f.StringVar(&o.user, "replication-user", "", "`name` of the replication role")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` with the password of the replication role")
	f.StringVar(&o.accountPassword, "manager-password-file", "", "`file` with the password of the account mxone_manager; without it that stays as it is")
	f.StringVar(&o.synchronous, "synchronous", "off", "whether a commit waits for the other server: `on` or off")
	o.addFlags(f)
	o.addForce(f)
	asRoot(c)
}

func (o *managerSetupOptions) doing() string {
	if o.again {
		return "reconfiguring the management system"
	}
	return "setting up the management system"
}

func runManagerSetup(ctx context.Context, a *app, o managerSetupOptions) error {
	if err := o.complete(); err != nil {
		return err
	}
	w, err := o.prepare(ctx, a)
	if err != nil {
		return fmt.Errorf("%s: %w", o.doing(), err)
	}
	r, err := w.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", o.doing(), err)
	}
	return a.done(r)
}

// complete names what is missing.
func (o *managerSetupOptions) complete() error {
	for flag, value := range map[string]string{"--role": o.role, "--vip": o.vip, "--replication-user": o.user, "--password-file": o.passwordFile} {
		if value == "" {
			return fault.New(fault.Usage, "see mxcluster help manager setup", "%s is missing", flag)
		}
	}
	if r := manager.Role(o.role); r != manager.Master && r != manager.Standby {
		return fault.New(fault.Usage, "write master or standby", "--role: %q is no role", o.role)
	}
	if o.synchronous != "on" && o.synchronous != "off" {
		return fault.New(fault.Usage, "write on or off", "--synchronous: %q is neither on nor off", o.synchronous)
	}
	return nil
}

// managerWork is a set-up with all that it needs.
type managerWork struct {
	*managerView
	o       managerSetupOptions
	place   ManagementPlace
	kept    *manager.Half // of an earlier set-up; nil: there was none
	setup   manager.Setup
	wanted  clusterconf.Management
	account string // password of the account; "": it stays
}

// prepare looks at everything, and refuses what stands in the way.
func (o managerSetupOptions) prepare(ctx context.Context, a *app) (*managerWork, error) {
	v, err := a.viewManager(ctx)
	if err != nil {
		return nil, err
	}
	w := &managerWork{managerView: v, o: o}
	role := manager.Role(o.role)
	if here, _ := v.pair.RoleOf(v.server.settings.Server); here != role {
		return nil, fault.New(fault.Refused, fmt.Sprintf("run it on %s", v.pair.Server(role).Name), "the %s is %s, this is %s", role, v.pair.Server(role).Name, v.server.settings.Server)
	}
	if a.env.Management == nil || a.env.OwnUser != "" {
		return nil, fault.New(fault.NotPermitted, "have the agent run as root: docs/own-user.md", "the management system needs an agent that runs as root")
	}
	w.place = a.env.Management(v.server.dirs.Management())
	if w.kept, err = w.place.Read(); err != nil {
		return nil, err
	}
	if w.setup.Password, err = readPassword(o.passwordFile); err != nil {
		return nil, err
	}
	if o.accountPassword != "" {
		if w.account, err = readPassword(o.accountPassword); err != nil {
			return nil, err
		}
		if !a.env.HasAccount(managerAccount) {
			return nil, fault.New(fault.Refused, "install the management system there, or leave --manager-password-file out", "%s has no account %s", v.server.settings.Server, managerAccount)
		}
	}
	if err := w.choose(ctx, role); err != nil {
		return nil, err
	}
	return w, w.half(role)
}

// choose settles what is to be in the document, and checks it.
func (w *managerWork) choose(ctx context.Context, role manager.Role) error {
	prefix, err := clusterconf.ParseAddress(w.o.vip, w.pair.Master.Base)
	if err != nil {
		return fault.Wrap(err, fault.CodeOf(err), "", "--vip")
	}
	w.wanted = clusterconf.Management{Address: prefix, ReplicationUser: w.o.user, Synchronous: w.o.synchronous == "on", Fallback: w.pair.Fallback}
	old := w.doc.Management
	switch {
	case old != nil:
		w.wanted.Fallback, w.wanted.Others = old.Fallback, old.Others
	case w.o.again:
		return fault.New(fault.Refused, "mxcluster manager setup --role master", "nothing is set up yet")
	}
	switch {
	case role == manager.Standby && old == nil:
		return fault.New(fault.Refused, "mxcluster manager setup --role master on "+w.pair.Master.Name, "the master comes first, and is not set up")
	case role == manager.Standby && (old.Address.Addr() != prefix.Addr() || old.ReplicationUser != w.o.user || old.Synchronous != w.wanted.Synchronous),
		role == manager.Master && old != nil && !w.o.again && *old != w.wanted:
		how := "off"
		if old.Synchronous {
			how = "on"
		}
		return fault.New(fault.Refused, "give the same, or change it on the master first: mxcluster manager reconfigure",
			"the master is set up with --vip %s --replication-user %s --synchronous %s", old.Address.Addr(), old.ReplicationUser, how)
	case old != nil && old.ReplicationUser != w.o.user:
		return fault.New(fault.Refused, "mxcluster manager remove on both servers, then mxcluster manager setup", "the replication role is %s, and its name cannot be changed", old.ReplicationUser)
	}
	if err := w.free(ctx, old, prefix); err != nil {
		return err
	}
	next := w.doc.Clone()
	if err := next.SetManagement(w.wanted); err != nil {
		return err
	}
	if broken := clusterconf.Validate(next); len(broken) > 0 {
		return fault.New(fault.Refused, broken[0].Hint, "%s", broken[0].Message)
	}
	if err := w.notOfLIM(); err != nil {
		return err
	}
	if role == manager.Standby || old != nil && *old == w.wanted {
		return nil
	}
	// What the edit at the end meets is met now, while nothing is changed: no answer of the agent, a
	// server that could not read the document.
	planned := w.o.change
	planned.dryRun = true
	return w.edit(ctx, planned)
}

// free refuses an address that is somebody's, and what manager check finds.
func (w *managerWork) free(ctx context.Context, old *clusterconf.Management, prefix netip.Prefix) error {
	q := manager.Question{Pair: w.pair, Sights: w.sights}
	if old == nil || old.Address != prefix {
		addr, err := w.address(ctx, w.o.vip)
		if err != nil {
			return err
		}
		q.Address = addr
	}
	for _, f := range manager.Check(w.doc, q) {
		if f.Result == manager.Refused || f.Result == manager.Unknown && w.matters(f.Check) {
			return fault.New(fault.Refused, f.Remedy, "%s: %s", f.Check, f.Found)
		}
	}
	return nil
}

// matters reports whether a set-up needs to know something that could not be seen. One that was
// interrupted may have PostgreSQL stopped.
func (w *managerWork) matters(check string) bool {
	switch check {
	case "room", "address":
		return false
	case "server":
		return true
	}
	return w.kept == nil
}

// notOfLIM refuses a web server that a LIM has among its services.
func (w *managerWork) notOfLIM() error {
	web := w.server.settings.ManagerWebServer
	for _, l := range w.doc.LIMs {
		if web != "" && slices.ContainsFunc(l.Services, func(s clusterconf.Service) bool { return s.Run == web }) {
			return fault.New(fault.Refused, fmt.Sprintf("take it off: mxcluster lim set %d, with the services that remain", l.Number),
				"%s is the web server of the management system, and a service of LIM %d", web, l.Number)
		}
	}
	if web != "" {
		if _, err := services.Parse(web, services.Options{}); err != nil {
			return fmt.Errorf("manager.web_server: %w", err)
		}
	}
	return nil
}

// half says what this server keeps.
func (w *managerWork) half(role manager.Role) error {
	here, _ := w.sights[role].Instance()
	there, _ := w.sights[role.Other()].Instance()
	if here == nil || there == nil {
		return fault.New(fault.Unknown, "mxcluster manager discover", "PostgreSQL was not seen on both servers")
	}
	peer, port := w.pair.Server(role.Other()), there.Port
	if port == 0 && w.kept != nil {
		port = w.kept.Port
	}
	w.setup.Role, w.setup.Synchronous, w.setup.Change = role, w.wanted.Synchronous, w.o.again
	w.setup.Half = manager.Half{Instance: here.Name, Server: w.server.settings.Server, Peer: peer.Name, Host: peer.Base.Addr().String(), Port: port,
		From: []string{peer.Base.Addr().String()}, User: w.o.user}
	// The kernel may send from the alias where that was on the interface first.
	w.setup.From = append(w.setup.From, w.pair.Alias.Addr().String())
	return nil
}

// run takes the steps that are left.
func (w *managerWork) run(ctx context.Context) (result, error) {
	a := w.server.app
	r := result{DryRun: w.o.dryRun}
	wish := manager.Wish{Role: w.setup.Role, Synchronous: w.setup.Synchronous}
	var last manager.StepID
	for first := true; ; first = false {
		p, err := w.place.Look(ctx, w.setup)
		if err != nil {
			return r, err
		}
		doc, err := w.server.read()
		if err != nil {
			return r, err
		}
		p.Address = doc.Management != nil && *doc.Management == w.wanted
		master, standby := p, manager.Prepared{}
		if w.setup.Role == manager.Standby {
			master, standby = standby, p
		}
		left := manager.Plan(wish, master, standby)
		if first && w.o.dryRun {
			for _, s := range left {
				r.Changes = append(r.Changes, s.Words())
			}
			if w.account != "" {
				r.Changes = append(r.Changes, accountWords)
			}
			r.Changed, r.Text = len(r.Changes) > 0, "the management system would be set up on "+w.setup.Server
			return r, nil
		}
		if len(left) == 0 {
			break
		}
		step := left[0]
		if step.ID == last {
			return r, fmt.Errorf("%s: it is not seen to be so", step.Words())
		}
		last = step.ID
		a.out.Note("%s", step.Words())
		if step.ID == manager.StepAddress {
			err = w.store(ctx)
		} else {
			err = w.place.Do(ctx, w.setup, step.ID)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", step.Words(), err)
		}
		r.Changed, r.Changes = true, append(r.Changes, step.Words())
	}
	r.Text = "the management system is set up on " + w.setup.Server
	if !r.Changed {
		r.Text += " already"
	}
	if w.account != "" { // whether it is that already cannot be seen
		a.out.Note("%s", accountWords)
		if err := a.env.SetPassword(ctx, managerAccount, w.account); err != nil {
			return r, err
		}
		r.Changed, r.Changes = true, append(r.Changes, accountWords)
	}
	addr := w.wanted.Address.Addr()
	if w.setup.Role == manager.Master {
		r.Left = append(r.Left, "mxcluster manager setup --role standby on "+w.pair.Standby.Name)
	} else {
		r.Left = append(r.Left, fmt.Sprintf("open http://%s/mp or http://%s/wbm", addr, addr))
	}
	return r, nil
}

// store puts the pair into the document.
func (w *managerWork) store(ctx context.Context) error { return w.edit(ctx, w.o.change) }

func (w *managerWork) edit(ctx context.Context, c change) error {
	s := w.server
	e := edit{change: c, command: "manager setup", doing: "setting the management system", apply: func(d *clusterconf.Document) error { return d.SetManagement(w.wanted) }}
	_, _, err := s.edit(ctx, e)
	return err
}

// readPassword reads a file that only its owner may read.
func readPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fault.Wrap(err, fault.Refused, "", "reading the password")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fault.New(fault.Refused, "chmod 600 "+path, "others may read %s, or write to it", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Wrap(err, fault.CodeOf(err), "", "reading the password")
	}
	text := strings.TrimSuffix(string(bytes.TrimSuffix(raw, []byte("\n"))), "\r")
	if text == "" || len(text) > 128 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fault.New(fault.Refused, "write one line of letters, digits and signs of ASCII", "%s holds no password that can be used", path)
	}
	return text, nil
}
