package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/ui"
)

// programs are those of the servers, as far as the agent here knows them; without an agent this
// one's.
func (s *server) programs(ctx context.Context) map[string]levels.Program {
	info, err := s.agent.Agent(ctx)
	if err != nil {
		return map[string]levels.Program{s.settings.Server: levels.Told(s.env.Version.Version, levels.Known())}
	}
	return programsOf(info)
}

func programsOf(info *control.AgentInfo) map[string]levels.Program {
	out := map[string]levels.Program{info.Server: levels.Told(info.Version, info.Levels)}
	for _, m := range info.Members {
		if m.Program != nil {
			out[m.Server] = *m.Program
		}
	}
	return out
}

// mustBeRead refuses an edit after which a server cannot read the cluster document that could
// before.
func (s *server) mustBeRead(ctx context.Context, plan clusterconf.Result) error {
	if !plan.Changed || !raises(plan) && !countsAgain(plan) {
		return nil
	}
	programs := s.programs(ctx)
	shut := clusterconf.Shuts(plan.Before.Document, plan.After.Document, programs)
	if len(shut) == 0 {
		return nil
	}
	names := make([]string, len(shut))
	for i, name := range shut {
		names[i] = name
		if v := programs[name].Version; v != "" {
			names[i] += " (version " + v + ")"
		}
	}
	return fault.New(fault.Refused, fmt.Sprintf("upgrade mxcluster there first; a server that does not come back is left behind: mxcluster server leave-behind %s", strings.Join(append(newlyLeft(plan), shut...), " ")),
		"the change needs level %d of the cluster document%s, which %s cannot read", plan.After.AtLevel(), needWords(plan.After.Document), strings.Join(names, " and "))
}

// needWords names in parentheses what needs the level that a document is at; "": nothing in it.
func needWords(d *clusterconf.Document) string {
	var keys []string
	for _, n := range d.Needs() {
		key := n.Path[strings.LastIndexByte(n.Path, '.')+1:]
		if n.Level == d.AtLevel() && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return " (" + strings.Join(keys, ", ") + ")"
}

// raises reports whether an edit needs a higher level than the document is at.
func raises(r clusterconf.Result) bool {
	return r.Changed && len(r.Before.Servers) > 0 && r.After.AtLevel() > r.Before.AtLevel()
}

// countsAgain reports whether a server was left behind before an edit, and is not after it.
func countsAgain(r clusterconf.Result) bool {
	return slices.ContainsFunc(r.After.Servers, func(s clusterconf.Server) bool {
		was := r.Before.Server(s.Name)
		return was != nil && was.LeftBehind && !s.LeftBehind
	})
}

// newlyLeft are the servers that an edit leaves behind.
func newlyLeft(r clusterconf.Result) (names []string) {
	for _, s := range r.After.Servers {
		if was := r.Before.Server(s.Name); s.LeftBehind && was != nil && !was.LeftBehind {
			names = append(names, s.Name)
		}
	}
	return names
}

// raiseWords says what that means.
func raiseWords(r clusterconf.Result) string {
	return fmt.Sprintf("the cluster document rises to level %d%s: a version that reads it up to level %d alone cannot be gone back to until that is undone (mxcluster upgrade check --downgrade)",
		r.After.AtLevel(), needWords(r.After.Document), r.Before.AtLevel())
}

// Levels is the answer of `config show --levels`.
type Levels struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`       // DocumentLevels
	Level      int                `json:"level"`      // that the document is at
	Needed     int                `json:"needed"`     // by what stands in it
	Known      int                `json:"known"`      // by this version of mxcluster
	Lowest     int                `json:"lowest"`     // that all servers can read, of which it is known
	HeldBackBy []string           `json:"heldBackBy"` // servers that can read less than this version
	Needs      []clusterconf.Need `json:"needs"`
	Servers    []ServerLevels     `json:"servers"`
}

// ServerLevels is what a server's version understands.
type ServerLevels struct {
	Name       string         `json:"name"`
	Version    *string        `json:"version"` // nil: not known, as are its levels
	Levels     *levels.Levels `json:"levels"`
	LeftBehind bool           `json:"leftBehind"`
}

// levelsOf says at which level a document is, and who reads up to which one.
func levelsOf(d *clusterconf.Document, programs map[string]levels.Program) Levels {
	known := levels.Known().Document
	out := Levels{APIVersion: clusterconf.APIVersion, Kind: "DocumentLevels", Level: d.AtLevel(), Needed: d.NeededLevel(), Known: known, Lowest: known,
		HeldBackBy: []string{}, Needs: append([]clusterconf.Need{}, d.Needs()...), Servers: []ServerLevels{}}
	for _, s := range d.Servers {
		line := ServerLevels{Name: s.Name, LeftBehind: s.LeftBehind}
		if is, ok := programs[s.Name]; ok {
			line.Levels = &is.Levels
			if is.Version != "" {
				line.Version = &is.Version
			}
			if !s.LeftBehind {
				out.Lowest = min(out.Lowest, is.Levels.Document)
				if is.Levels.Document < known {
					out.HeldBackBy = append(out.HeldBackBy, s.Name)
				}
			}
		}
		out.Servers = append(out.Servers, line)
	}
	return out
}

// showLevels prints them.
func (s *server) showLevels(ctx context.Context, d *clusterconf.Document) error {
	all := levelsOf(d, s.programs(ctx))
	v := ui.View{Object: all, Columns: []ui.Column{{Head: "SERVER"}, {Head: "VERSION"}, {Head: "DOCUMENT", Right: true}, {Head: "GOSSIP", Right: true},
		{Head: "CONTROL", Right: true}, {Head: "TRANSFER", Right: true}, {Head: "LEFT-BEHIND"}}}
	for _, line := range all.Servers {
		row := []string{line.Name, orEmpty(line.Version), "", "", "", "", strconv.FormatBool(line.LeftBehind)}
		if l := line.Levels; l != nil {
			for i, n := range []int{l.Document, l.Gossip, l.Control, l.Transfer} {
				row[2+i] = strconv.Itoa(n)
			}
		}
		v.Rows, v.Names = append(v.Rows, row), append(v.Names, line.Name)
	}
	if err := s.out.Show(v); err != nil {
		return err
	}
	if !s.out.Machine() {
		s.out.Note("the cluster document is at level %d%s; its servers can read it up to level %d", all.Level, needWords(d), all.Lowest)
		if len(all.HeldBackBy) > 0 {
			s.out.Note("held back by %s", strings.Join(all.HeldBackBy, " and "))
		}
	}
	return nil
}
