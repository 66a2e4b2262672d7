package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// newUpgradeCommand returns `upgrade`.
func newUpgradeCommand(a *app) *cobra.Command {
	return newGroup("upgrade", "See whether a server may be upgraded now", `
A system is upgraded server by server, the standby servers first. No LIM moves and
no call ends. Servers of two versions work together meanwhile.`, `
  mxcluster upgrade check
  mxcluster upgrade check --downgrade`,
		newUpgradeCheckCommand(a))
}

// newUpgradeCheckCommand returns `upgrade check`.
func newUpgradeCheckCommand(a *app) *cobra.Command {
	var downgrade bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Say whether this server's agent may be restarted now, and who is next",
		Long: `Upgrade check shows which version each server runs, which server is next, and whether
the agent of this server may be restarted now without anybody noticing: 0 it may, 3
it may not, with the reasons. It may not while a LIM that is active here is not
redundant or on its way, while another server of its cluster is not ready, while
servers do not have one document, and while data of its LIMs are copied.

With --downgrade it says besides whether the version before this one can read what
is written now, and what to undo first: 0 it can, 3 not.`,
		Example:     "  mxcluster upgrade check && systemctl restart mxcluster-agent\n  mxcluster upgrade check --downgrade -o json",
		Annotations: exits(fault.Refused, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runUpgradeCheck(c.Context(), a, downgrade)
		},
	}
	c.Flags().BoolVar(&downgrade, "downgrade", false, "say whether the version before this one could go on")
	return c
}

// UpgradeCheck is the answer of `upgrade check`.
type UpgradeCheck struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"` // UpgradeCheck
	Server     string          `json:"server"`
	Program    string          `json:"program"`    // version of the program that answers, which may be newer than the agent
	MayRestart bool            `json:"mayRestart"` // nobody would notice a restart of the agent here
	Reasons    []string        `json:"reasons"`    // why not
	Next       *string         `json:"next"`       // server to upgrade next; nil: none has another version than this program
	Servers    []UpgradeServer `json:"servers"`
	Downgrade  *Downgrade      `json:"downgrade,omitempty"` // with --downgrade
}

// UpgradeServer is what a server runs.
type UpgradeServer struct {
	Name     string         `json:"name"`
	Role     string         `json:"role"`
	Version  *string        `json:"version"` // of its agent when it was last heard; nil: not known
	Levels   *levels.Levels `json:"levels"`  // likewise
	Liveness string         `json:"liveness"`
}

// Downgrade says whether the version before this one can read what is written now.
type Downgrade struct {
	Possible bool     `json:"possible"`
	Reasons  []string `json:"reasons"` // why not
	Undo     []string `json:"undo"`    // what to type first, in order
}

func runUpgradeCheck(ctx context.Context, a *app, downgrade bool) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	info, err := s.agent.Agent(ctx)
	if err != nil {
		return doing(err, "checking for an upgrade")
	}
	st, err := s.agent.Status(ctx)
	if err != nil {
		return doing(err, "checking for an upgrade")
	}
	busy := func(lim int) string { return s.versions().InUse(lim) }
	out := upgradeCheck(doc, info, st, s.env.Version.Version, busy)
	var why []string
	what := "the agent of " + out.Server + " may not be restarted now"
	if why = out.Reasons; downgrade {
		out.Downgrade = downgradeOf(doc, levels.Before())
		what, why = "the version before this one cannot go on", out.Downgrade.Reasons
	}
	if err := s.out.Show(upgradeView(&out)); err != nil {
		return err
	}
	if len(why) > 0 {
		hint := "wait, and look again; mxcluster status says more"
		if old := tooOld(st); len(old) > 0 {
			hint = "upgrade mxcluster on " + strings.Join(old, " and ") + ", where waiting does not help; mxcluster status says more"
		}
		if downgrade {
			hint = "undo first: " + strings.Join(out.Downgrade.Undo, "; ")
		}
		return fault.New(fault.Refused, hint, "%s: %s", what, strings.Join(why, "; "))
	}
	if !s.out.Machine() {
		s.tellUpgrade(&out)
	}
	return nil
}

// tellUpgrade says in words what is next.
func (s *server) tellUpgrade(c *UpgradeCheck) {
	if c.Downgrade != nil {
		s.out.Note("the version before this one can read what is written now")
		return
	}
	s.out.Note("the agent of %s may be restarted now", c.Server)
	if c.Next != nil {
		s.out.Note("next: %s", *c.Next)
	}
}

func upgradeView(c *UpgradeCheck) ui.View {
	v := ui.View{Object: c, Columns: []ui.Column{{Head: "SERVER"}, {Head: "ROLE"}, {Head: "AGENT"}, {Head: "VERSION"}, {Head: "NEXT"}, {Head: "LEVELS", Wide: true}}}
	for _, s := range c.Servers {
		next := ""
		if c.Next != nil && *c.Next == s.Name {
			next = "next"
		}
		v.Rows, v.Names = append(v.Rows, []string{s.Name, s.Role, s.Liveness, orEmpty(s.Version), next, levelsWords(s.Levels)}), append(v.Names, s.Name)
	}
	return v
}

// upgradeCheck judges by what an agent says. busy says by whom the data of a LIM are in use; "": by
// nobody.
func upgradeCheck(doc *clusterconf.Document, info *control.AgentInfo, st *status.ClusterStatus, program string, busy func(lim int) string) UpgradeCheck {
	out := UpgradeCheck{APIVersion: clusterconf.APIVersion, Kind: "UpgradeCheck", Server: info.Server, Program: program, Reasons: []string{}, Servers: []UpgradeServer{}}
	programs := programsOf(info)
	liveness := map[string]string{info.Server: "alive"}
	for _, m := range info.Members {
		liveness[m.Server] = m.Liveness
	}
	for _, s := range doc.Servers {
		line := UpgradeServer{Name: s.Name, Role: string(s.Role()), Liveness: liveness[s.Name]}
		if is, ok := programs[s.Name]; ok {
			line.Levels = &is.Levels
			if is.Version != "" {
				line.Version = &is.Version
			}
		}
		out.Servers = append(out.Servers, line)
	}
	out.Next = nextUpgrade(doc, programs, program)
	out.Reasons = append(out.Reasons, hindrances(doc, info, st)...)
	if c := doc.ClusterOfServer(info.Server); c != nil {
		for _, m := range c.LIMs {
			if c.Standby != info.Server && doc.RegularOf(m.LIM).Name != info.Server {
				continue
			}
			if by := busy(m.LIM); by != "" {
				out.Reasons = append(out.Reasons, fmt.Sprintf("the data of LIM %d are in use by %s", m.LIM, by))
			}
		}
	}
	out.Reasons = slices.Compact(out.Reasons)
	out.MayRestart = len(out.Reasons) == 0
	return out
}

// nextUpgrade names the server to upgrade next, standby servers first; nil: none has another
// version than the newest one of which this program knows.
func nextUpgrade(doc *clusterconf.Document, programs map[string]levels.Program, program string) *string {
	newest, highest := program, levels.Known()
	for _, is := range programs {
		highest = highest.Highest(is.Levels)
		if semver.Compare(canonical(is.Version), canonical(newest)) > 0 {
			newest = is.Version
		}
	}
	for _, role := range []clusterconf.Role{clusterconf.RoleStandby, clusterconf.RoleFree, clusterconf.RoleRegular} {
		for _, s := range doc.Servers {
			is, known := programs[s.Name]
			if known && s.Role() == role && (is.Version != newest || len(is.Levels.Behind(highest)) > 0) {
				return &s.Name
			}
		}
	}
	return nil
}

// canonical writes a version as Go does, with a v.
func canonical(version string) string { return "v" + strings.TrimPrefix(version, "v") }

// tooOld are the servers whose version cannot read the others' cluster document.
func tooOld(st *status.ClusterStatus) (names []string) {
	for _, a := range st.CountedAlarms() {
		if a.OfOlderVersion() && !slices.Contains(names, a.Server) {
			names = append(names, a.Server)
		}
	}
	return names
}

// hindrances are why a restart of the agent here might be noticed.
func hindrances(doc *clusterconf.Document, info *control.AgentInfo, st *status.ClusterStatus) []string {
	var why []string
	switch {
	case info.Removed != "":
		return nil
	case info.Isolated:
		why = append(why, info.Server+" hears nobody")
	case !info.Ready:
		why = append(why, "the agent of "+info.Server+" has not settled yet")
	}
	for _, p := range info.Pending {
		why = append(why, "a change is under way: "+p)
	}
	for i := range st.Unclustered {
		if l := &st.Unclustered[i]; l.ActiveOn != nil && *l.ActiveOn == info.Server && l.State != stateRunning {
			why = append(why, fmt.Sprintf("LIM %d is %s here", l.LIM, l.State))
		}
	}
	cluster := doc.ClusterOfServer(info.Server)
	for i := range st.Clusters {
		c := &st.Clusters[i]
		if cluster == nil || c.Name != cluster.Name {
			continue
		}
		for k := range c.LIMs {
			why = append(why, limHindrance(&c.LIMs[k], info.Server, cluster.Standby)...)
		}
		for _, s := range c.Servers {
			if s.Name == info.Server {
				continue
			}
			switch {
			case s.Agent != nil && !*s.Agent:
				why = append(why, fmt.Sprintf("no agent runs on %s", s.Name))
			case s.Ready == nil || !*s.Ready:
				why = append(why, strings.TrimSuffix(fmt.Sprintf("%s is not ready: %s", s.Name, s.ReadyWhy), ": "))
			case s.Revision == nil || *s.Revision < st.Revision:
				why = append(why, fmt.Sprintf("%s does not have revision %d of the cluster document yet", s.Name, st.Revision))
			case *s.Revision > st.Revision:
				why = append(why, fmt.Sprintf("%s does not have revision %d of the cluster document yet", info.Server, *s.Revision))
			}
		}
	}
	return why
}

// limHindrance is why a restart on a server might be noticed by those who use a LIM.
func limHindrance(l *status.StatusLIM, server, standby string) []string {
	here := l.ActiveOn != nil && *l.ActiveOn == server
	switch {
	case here && l.State != stateRunning:
		return []string{fmt.Sprintf("LIM %d is %s here", l.LIM, l.State)}
	case here && l.Redundant == nil:
		return []string{strings.TrimSuffix(fmt.Sprintf("LIM %d is active here, and whether it would be taken over is not known: %s", l.LIM, l.RedundantWhy), ": ")}
	case here && !*l.Redundant:
		return []string{fmt.Sprintf("LIM %d is active here and not redundant: %s", l.LIM, l.RedundantWhy)}
	case server == standby && l.ActiveOn == nil:
		return []string{fmt.Sprintf("LIM %d is not active anywhere, and %s may take it over: %s", l.LIM, server, l.Reason)}
	}
	return nil
}

// downgradeOf says whether a version of these levels could read what this one has written, and what
// to undo first. What agents and data versions keep on disks is read by it: it passes over what it
// does not know.
func downgradeOf(doc *clusterconf.Document, before levels.Levels) *Downgrade {
	out := &Downgrade{Reasons: []string{}, Undo: []string{}}
	var last []string // in one edit: a server that cannot read the level counts again with it gone
	for _, n := range doc.Needs() {
		if n.Level <= before.Document {
			continue
		}
		out.Reasons = append(out.Reasons, "the cluster document has "+n.Path)
		if strings.HasSuffix(n.Path, ".leftBehind") {
			last = append(last, n.Path)
		} else {
			out.Undo = append(out.Undo, undoCommand(doc, n.Path))
		}
	}
	if doc.Level > before.Document {
		out.Reasons = append(out.Reasons, fmt.Sprintf("the cluster document says level %d", doc.Level))
		last = append(last, "the line 'level'")
	}
	if len(last) > 0 {
		out.Undo = append(out.Undo, "mxcluster config edit, and take out "+strings.Join(last, " and "))
	}
	out.Undo = slices.Compact(out.Undo)
	out.Possible = len(out.Reasons) == 0
	return out
}

// undoCommand is what takes a part out of a document.
func undoCommand(doc *clusterconf.Document, path string) string {
	list, rest, _ := strings.Cut(path, "[")
	index, key, _ := strings.Cut(rest, "].")
	i, err := strconv.Atoi(index)
	switch {
	case err != nil:
	case list == "servers" && key == "drained":
		return "mxcluster server undrain " + doc.Servers[i].Name
	case list == "clusters" && key == "frozen":
		return "mxcluster unfreeze " + doc.Clusters[i].Name
	case list == "clusters" && key == "fallbackWindow":
		return "mxcluster change " + doc.Clusters[i].Name + " --fallback-window always"
	case list == "clusters" && key == "rehearse":
		return "mxcluster change " + doc.Clusters[i].Name + " --rehearse off"
	}
	return fmt.Sprintf("mxcluster config edit, and take out %s", path)
}
