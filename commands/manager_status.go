package commands

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/services"
	"mxcluster/internal/ui"
)

// managerStatus is the answer of `manager status -o json`.
type managerStatus struct {
	APIVersion   string         `json:"apiVersion"`
	Kind         string         `json:"kind"` // ManagerStatus
	GeneratedAt  time.Time      `json:"generatedAt"`
	Cluster      string         `json:"cluster"`
	Redundant    *bool          `json:"redundant"` // null: cannot be seen
	RedundantWhy string         `json:"redundantWhy"`
	ActiveOn     *string        `json:"activeOn"`   // the server that accepts writes; null: none, both, or not known
	BothActive   *bool          `json:"bothActive"` // null: cannot be seen
	LagBytes     *int64         `json:"lagBytes"`   // what the other server lacks; null: not known
	LagMs        *int64         `json:"lagMs"`      // how old the last change is that it has, where it lacks some; null: it lacks none, or not known
	Differ       []string       `json:"differ"`     // settings that are not the same on both
	Slots        []string       `json:"slots"`      // what is wrong with replication slots
	Servers      []managerPlace `json:"servers"`    // the master first

	Address         *string  `json:"address"`         // virtual; null: the pair is not set up by mxcluster
	AddressOn       []string `json:"addressOn"`       // servers that have it, as far as they were seen
	Fallback        *string  `json:"fallback"`        // of the management system; null as above
	ClusterFallback string   `json:"clusterFallback"` // of LIM 1's cluster
}

// managerPlace is one server of the pair.
type managerPlace struct {
	Role     string            `json:"role"`
	Server   string            `json:"server"`
	State    string            `json:"state"`    // read-write, read-only or unknown
	Problem  string            `json:"problem"`  // why it is unknown
	Postgres *manager.Instance `json:"postgres"` // null: none was seen that counts

	WebServer *manager.WebServer `json:"webServer"` // null: the setting manager.web_server names none there, or it was not seen
}

// newManagerStatusCommand returns `manager status` (spec ch. 9, "CheckStatus").
func newManagerStatusCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the two servers of the management system stand",
		Long: `Manager status asks the PostgreSQL of both servers of the management system: which
one accepts writes, whether the other follows and what it lacks, their timelines,
replication slots, how the web server is (setting manager.web_server), and the
settings that differ and are not copied from one to the other. Two servers that both
accept writes are told as such.`,
		Example:     "  mxcluster manager status\n  mxcluster manager status -o json",
		Annotations: exits(fault.Refused, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runManagerStatus(c.Context(), a); err != nil {
				return fmt.Errorf("asking for the management system: %w", err)
			}
			return nil
		},
	}
	asRoot(c)
	return c
}

func runManagerStatus(ctx context.Context, a *app) error {
	v, err := a.viewManager(ctx)
	if err != nil {
		return err
	}
	now := a.env.Now().UTC()
	st := manager.Judge(v.pair, v.sights, now)
	r := managerStatus{APIVersion: clusterconf.APIVersion, Kind: "ManagerStatus", GeneratedAt: now, Cluster: v.pair.Cluster,
		Redundant: st.Redundant, RedundantWhy: st.Why, LagBytes: st.LagBytes, Differ: append([]string{}, st.Differ...), Slots: append([]string{}, st.Slots...)}
	if st.Redundant != nil {
		r.BothActive = &st.Both
	}
	if st.Active != "" {
		name := v.pair.Server(st.Active).Name
		r.ActiveOn = &name
	}
	if st.LagAge != nil {
		ms := st.LagAge.Milliseconds()
		r.LagMs = &ms
	}
	view := ui.View{
		Columns: []ui.Column{{Head: "ROLE"}, {Head: "SERVER"}, {Head: "POSTGRESQL"}, {Head: "STATE"}, {Head: "TIMELINE", Right: true}, {Head: "POSITION"},
			{Head: "FOLLOWS"}, {Head: "WEB SERVER"}, {Head: "SYSTEM", Wide: true}},
		Lead: "redundant: " + redundantWord(st),
	}
	r.AddressOn, r.ClusterFallback = []string{}, string(v.pair.Fallback)
	for _, role := range []manager.Role{manager.Master, manager.Standby} {
		if n := v.sights[role].Node; n != nil && n.HoldsAddress != nil && *n.HoldsAddress {
			r.AddressOn = append(r.AddressOn, v.pair.Server(role).Name)
		}
		p := placeOf(v, role)
		r.Servers = append(r.Servers, p)
		view.Names = append(view.Names, p.Server)
		view.Rows = append(view.Rows, p.row())
	}
	if m := v.doc.Management; m != nil {
		address, fallback := m.Address.String(), string(m.Fallback)
		r.Address, r.Fallback = &address, &fallback
		view.Lead += fmt.Sprintf("; reached at %s on %s; fallback %s", m.Address.Addr(), cmp.Or(strings.Join(r.AddressOn, " and "), "no server"), fallback)
		if fallback != r.ClusterFallback {
			view.Lead += fmt.Sprintf(" (that of cluster %s is %s: mxcluster manager reconfigure-fallback)", v.pair.Cluster, r.ClusterFallback)
		}
	}
	view.Object = r
	if err := a.out.Show(view); err != nil {
		return err
	}
	if !a.out.Machine() {
		for _, text := range append(r.Slots, r.Differ...) {
			a.out.Warn("%s", text)
		}
		for _, p := range r.Servers {
			if web := p.WebServer; web != nil && r.ActiveOn != nil && *r.ActiveOn == p.Server && web.State != string(services.Running) {
				a.out.Warn("the web server on %s, where the management system is active, is %s", p.Server, web.State)
			}
		}
	}
	return nil
}

// redundantWord is the first line: the answer, why, and what the other server lacks.
func redundantWord(st manager.Standing) string {
	text := "unknown"
	if st.Redundant != nil {
		text = yesNo(*st.Redundant)
	}
	text += ": " + st.Why
	if st.LagBytes != nil && *st.LagBytes > 0 {
		text += fmt.Sprintf("; it lacks %s", ui.Bytes(*st.LagBytes))
		if st.LagAge != nil {
			text += fmt.Sprintf(", and the last change that it has is %s old", st.LagAge.Round(time.Second))
		}
	}
	return text
}

func placeOf(v *managerView, role manager.Role) managerPlace {
	p := managerPlace{Role: string(role), Server: v.pair.Server(role).Name, State: "unknown"}
	p.Postgres, p.Problem = v.sights[role].Instance()
	if n := v.sights[role].Node; n != nil {
		p.WebServer = n.WebServer
	}
	switch {
	case p.Postgres == nil:
	case p.Postgres.Database == nil:
		p.Problem = p.Postgres.Problem
	case p.Postgres.Database.ReadOnly:
		p.State = "read-only"
	default:
		p.State = "read-write"
	}
	return p
}

// row shows a server in a line.
func (p managerPlace) row() []string {
	web := ""
	if p.WebServer != nil {
		web = p.WebServer.State
	}
	if p.Postgres == nil {
		return []string{p.Role, p.Server, "", p.State, "", "", "", web, ""}
	}
	row := []string{p.Role, p.Server, p.Postgres.Name, p.State}
	d := p.Postgres.Database
	if d == nil {
		return append(row, "", "", "", web, "")
	}
	follows := ""
	if d.Upstream != nil {
		follows = d.Upstream.Host + " (" + d.Upstream.Status + ")"
	}
	return append(row, strconv.FormatUint(uint64(d.Timeline), 10), d.Position.String(), follows, web, d.SystemID)
}
