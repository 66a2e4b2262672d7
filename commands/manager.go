package commands

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/remoteshell"
	"mxcluster/internal/services"
)

// newManagerCommand groups what concerns the management system (spec ch. 9).
func newManagerCommand(a *app) *cobra.Command {
	return newGroup("manager", "Make the management system redundant, and look at it", `
The management system (PM and SNM) runs on the regular server of LIM 1 and keeps its
data in PostgreSQL. It is redundant where the PostgreSQL on the standby of LIM 1's
cluster follows that one. 'setup' makes that so, on the master first and then on the
standby; from then on the agents carry the management system over together with LIM 1.

The other server is asked through the login of 'mxcluster sync setup-ssh'.`, `
  mxcluster manager discover
  mxcluster manager check --vip 10.0.0.20
  mxcluster manager setup --role master --vip 10.0.0.20 --replication-user mxone_replication --password-file /root/replication
  mxcluster manager status -o json`,
		newManagerDiscoverCommand(a), newManagerCheckCommand(a), newManagerSetupCommand(a), newManagerStatusCommand(a), newManagerFallbackCommand(a), newManagerReconfigureCommand(a),
		newManagerReconfigureFallbackCommand(a), newManagerRemoveCommand(a), newManagerFactsCommand(a))
}

// managerView is what was seen of the management system's servers.
type managerView struct {
	server *server
	doc    *clusterconf.Document
	pair   manager.Pair
	sights map[manager.Role]manager.Sight
}

// viewManager finds the pair and asks both servers.
func (a *app) viewManager(ctx context.Context) (*managerView, error) {
	s, err := a.server()
	if err != nil {
		return nil, err
	}
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	pair, err := manager.Find(doc)
	if err != nil {
		return nil, err
	}
	v := &managerView{server: s, doc: doc, pair: pair, sights: map[manager.Role]manager.Sight{}}
	for _, role := range []manager.Role{manager.Master, manager.Standby} {
		there := pair.Server(role)
		node, err := s.askNode(ctx, &there)
		if ctx.Err() != nil {
			return nil, ctx.Err() // what was not waited for is not unknown
		}
		sight := manager.Sight{Node: node}
		if err != nil {
			sight.Why = err.Error()
		}
		v.sights[role] = sight
	}
	return v, nil
}

// askNode asks a server what it has: this one itself, another one by ssh.
func (s *server) askNode(ctx context.Context, there *clusterconf.Server) (*manager.Node, error) {
	if there.Name == s.settings.Server {
		return s.ownNode(ctx)
	}
	conn, err := remoteshell.Dial(ctx, s.rsh(), there.Name, there.Base.Addr(), "manager", "facts")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	node, err := readMarked[manager.Node](conn, factsMark)
	if err != nil {
		return nil, err
	}
	if node.Server != there.Name {
		return nil, fault.New(fault.Unreachable, "", "%s answers, not %s", node.Server, there.Name)
	}
	return node, nil
}

// ownNode looks at this server. The settings say which PostgreSQL counts.
func (s *server) ownNode(ctx context.Context) (*manager.Node, error) {
	node, err := s.env.Postgres(ctx, s.settings.Server)
	if err != nil {
		return nil, err
	}
	node.Chosen = s.settings.ManagerPostgres
	for _, name := range s.settings.ManagerPackages {
		version, err := s.env.PackageVersion(ctx, name)
		if err != nil {
			return nil, err
		}
		node.Packages = append(node.Packages, manager.Package{Name: name, Version: version})
	}
	if spec := s.settings.ManagerWebServer; spec != "" {
		web, err := services.Parse(spec, services.Options{Instance: s.dirs.State, CheckTimeout: s.settings.ServiceCheckLimit})
		if err != nil {
			return nil, fmt.Errorf("manager.web_server: %w", err)
		}
		state, _ := web.Check(ctx, services.Env{LIM: manager.Home, Server: s.settings.Server}) // why is told by its own tools
		node.WebServer = &manager.WebServer{Service: spec, State: string(state)}
	}
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	if here := doc.Server(s.settings.Server); here != nil && doc.Management != nil {
		if holds, err := s.env.has(here.Interface, doc.Management.Address); err == nil {
			node.HoldsAddress = &holds
		}
	}
	return node, nil
}

// factsMark begins the line of an answer: a login may print lines of its own before it.
const factsMark = "mxcluster-manager-facts "

// newManagerFactsCommand returns `manager facts`, which the other server asks by.
func newManagerFactsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "facts",
		Short: "Tell another server what this one has for the management system",
		Long: `Manager facts prints what PostgreSQL this server has and how it stands. The other
commands of 'mxcluster manager' run it on the other server of the pair.`,
		Hidden:      true,
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.server()
			if err != nil {
				return err
			}
			if _, err := s.read(); err != nil {
				return err
			}
			return s.tellFacts(c.Context())
		},
	}
	asRoot(c) // PostgreSQL lets root in
	return c
}

// tellFacts answers askNode on another server.
func (s *server) tellFacts(ctx context.Context) error {
	node, err := s.ownNode(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(node)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s%s\n", factsMark, text)
	return err
}

// mayAskManager lets the key of a server ask where it is the other one of the management
// system's pair.
func (k syncKey) mayAskManager(doc *clusterconf.Document, me string) error {
	from := k.from
	if from == "" {
		from, _ = loginFrom(doc, k.came)
	}
	pair, err := manager.Find(doc)
	if err != nil {
		return err
	}
	mine, here := pair.RoleOf(me)
	theirs, there := pair.RoleOf(from)
	if !here || !there || mine == theirs {
		return fault.New(fault.NotPermitted, "", "this key may not ask for the management system on %s: it is not that of the other server", me)
	}
	return nil
}
