package status

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/lineage"
)

// place is one of the two servers that may run a LIM.
type place struct {
	Seen
	name  string
	side  clusterconf.Side
	claim failover.LIMClaim // what the server says of this LIM; stopped if it says nothing
}

func (in *Input) place(name string, side clusterconf.Side, lim int) place {
	s := in.Servers[name]
	return place{Seen: s, name: name, side: side, claim: in.heardClaim(name, s.Claim.LIM(lim))}
}

// holder says whether the server's kernel has the alias, as far as its agent
// tells.
func (p *place) holder() Holder {
	h := Holder{Server: p.name}
	if p.Claim != nil && p.Liveness == failover.Alive {
		present, blocked := p.claim.Holds && !p.claim.Absent || slices.Contains(p.Claim.Misplaced, p.claim.LIM), p.claim.Blocked
		if !p.claim.Holds || p.claim.Absent {
			blocked = p.Claim.Denied
		}
		h.Present, h.Blocked = &present, &blocked
	}
	return h
}

// probedBy notes what the other server found when it asked this one, which says that
// it has the alias blocked. What answers is not blocked.
func (h *Holder) probedBy(p, other *place) {
	if h.Present == nil || !*h.Present || !*h.Blocked || !p.claim.Holds || other.Claim == nil || other.Liveness != failover.Alive {
		return
	}
	switch other.claim.OtherBlock {
	case failover.BlockSilent:
		silent := true
		h.Probed = &silent
	case failover.BlockAnswered:
		h.Probed, h.Blocked = new(bool), new(bool)
	}
}

// others are the holders of an alias beside the two servers that may have it.
func (in *Input) others(lim int, known ...*place) []Holder {
	var all []Holder
	for _, s := range in.Document.Servers {
		p := in.place(s.Name, "", lim)
		apart := !slices.ContainsFunc(known, func(k *place) bool { return k.name == s.Name })
		if apart && p.Claim != nil && slices.Contains(p.Claim.Misplaced, lim) {
			all = append(all, p.holder())
		}
	}
	return all
}

// runs reports whether the server runs the LIM, or did by its last word and may
// do so still.
func (p *place) runs() bool {
	return p.claim.State.Active() && (p.trusted() || p.Liveness == failover.AgentLost)
}

// says reports whether the server says anything of the LIM.
func (p *place) says() bool {
	return p.Claim != nil && slices.ContainsFunc(p.Claim.LIMs, func(l failover.LIMClaim) bool { return l.LIM == p.claim.LIM })
}

// idle reports whether the server surely does not run the LIM.
func (p *place) idle() bool {
	return p.Liveness == failover.Gone || p.trusted() && !p.claim.State.Active()
}

// lim tells of one LIM from the claims of the two servers that may run it.
func (in *Input) lim(c *clusterconf.Cluster, m clusterconf.Member) StatusLIM {
	regular := ""
	if r := in.Document.RegularOf(m.LIM); r != nil {
		regular = r.Name
	}
	home := in.place(regular, clusterconf.SideRegular, m.LIM)
	away := in.place(c.Standby, clusterconf.SideStandby, m.LIM)
	out := StatusLIM{
		LIM: m.LIM, Side: unknown, State: unknown,
		Term:     max(home.claim.Term, home.claim.Known.Term, away.claim.Term, away.claim.Known.Term),
		Fallback: StatusFallback{Type: string(c.Fallback), BlockedBy: []string{}},
		Alias:    StatusAlias{Address: m.Alias.String(), Holders: append([]Holder{home.holder(), away.holder()}, in.others(m.LIM, &home, &away)...)},
		Data:     in.data(&home, &away),
		Lock:     lockOf(m, in.Now),
	}
	out.Alias.Holders[0].probedBy(&home, &away)
	out.Alias.Holders[1].probedBy(&away, &home)
	out.Alias.conflicts(&home, &away)
	active := pick(&home, &away)
	if c.Failover == clusterconf.FailoverPreloaded {
		out.Preload = preload(active, &home, &away)
	}
	switch {
	case active == nil:
		out.nowhere(&home, &away)
	case !active.trusted():
		out.Reason = "the agent of " + active.name + " does not answer; its last word: " + active.claim.Reason
	default:
		out.runsOn(active, in.Now)
	}
	if in.isolated() {
		out.Reason = join(out.Reason, in.Observer+" hears nobody and may be cut off")
	}
	if r := away.claim.Remedy; active == nil && away.trusted() && r != nil {
		out.Remedy = &failover.Remedy{What: r.What, On: away.name, Command: r.Command}
	}
	out.Next = in.next(c, m, &out, &home, &away)
	out.Arbiter = in.arbiter(m.LIM)
	in.promise(&out, &home, &away)
	out.Rehearsal = rehearsal(away.claim.Rehearsal)
	out.LastSplit = lastSplit(&home, &away)
	if out.Remedy == nil && (out.Redundant == nil || !*out.Redundant) {
		out.Remedy = in.remedy(c, m, &out, &home, &away)
	}
	return out
}

// alone tells of a LIM that is in no cluster, from what its server claims.
func (in *Input) alone(lim int, server string) StatusLIM {
	home := in.place(server, clusterconf.SideRegular, lim)
	out := StatusLIM{
		LIM: lim, Side: unknown, State: unknown, Term: home.claim.Term, RedundantWhy: "it is in no cluster",
		Fallback: StatusFallback{BlockedBy: []string{}}, Alias: StatusAlias{Holders: []Holder{}}, Data: in.data(&home, &place{}),
	}
	switch {
	case !home.trusted() && in.isolated():
		out.Reason = in.Observer + " hears nobody and may be cut off"
	case !home.trusted() && home.Liveness == failover.Gone:
		out.Side, out.State, out.Reason = "none", string(failover.Stopped), server+" is down"
	case !home.trusted() && home.Liveness == failover.AgentLost:
		out.Reason = "the agent of " + server + " does not answer"
	case !home.trusted():
		out.Reason = server + " was not heard yet"
	case home.runs():
		out.runsOn(&home, in.Now)
	case home.says():
		out.Side = "none"
		out.says(&home)
	}
	if out.Side == "none" {
		out.Remedy = in.remedyAlone(&home)
	}
	return out
}

// lastSplit is the later one of those that the two servers tell of.
func lastSplit(places ...*place) *StatusSplit {
	var out *StatusSplit
	for _, p := range places {
		s := p.claim.Split
		if s == nil || out != nil && !s.Ended.After(out.Ended) {
			continue
		}
		servers := []string{p.name, s.With}
		slices.SortFunc(servers, CompareNames)
		out = &StatusSplit{Servers: servers, Began: s.Began.UTC(), Ended: s.Ended.UTC()}
	}
	return out
}

// cause shows why a LIM is where it is, by the word of its server.
func cause(c *failover.Cause) *StatusCause {
	if c == nil {
		return nil
	}
	return &StatusCause{What: string(c.What), By: c.By, Reason: c.Reason, At: utc(c.At)}
}

// rehearsal shows what the standby says of the last one.
func rehearsal(r *failover.Rehearsal) *StatusRehearsal {
	if r == nil {
		return nil
	}
	out := &StatusRehearsal{At: r.At, Result: string(r.Result), Text: r.Text}
	if r.Version != "" {
		out.Version = &r.Version
	}
	if r.StartMs != 0 {
		out.StartMs = &r.StartMs
	}
	return out
}

// join sets a second reason behind a first one, if there is any.
func join(first, second string) string {
	if first == "" {
		return second
	}
	return first + "; " + second
}

// arbiter says who has a LIM's key.
func (in *Input) arbiter(lim int) *StatusArbiter {
	if in.Arbiter == nil {
		return nil
	}
	switch w := in.Arbiter.LIMs[lim]; w.Word {
	case failover.Ours:
		return &StatusArbiter{State: "held", Server: &in.Observer}
	case failover.Held:
		return &StatusArbiter{State: "held", Server: &w.Holder}
	case failover.Free:
		return &StatusArbiter{State: "free"}
	}
	return &StatusArbiter{State: unknown}
}

// preload tells how far the passive side of a preloaded cluster is; nil where it
// neither loads nor is loaded, or cannot be seen.
func preload(active, home, away *place) *string {
	for _, p := range []*place{away, home} {
		if s := p.claim.State; p != active && p.trusted() && (s == failover.Loading || s == failover.Preloaded) {
			text := string(s)
			return &text
		}
	}
	return nil
}

// conflicts tells of what the two servers found wrong with the alias on the wire.
func (a *StatusAlias) conflicts(places ...*place) {
	for _, p := range places {
		if p.Liveness != failover.Alive {
			continue
		}
		if mac := p.claim.ForeignMAC; mac != "" {
			a.ForeignMAC = &mac
		}
		if text := p.claim.AnnounceError; text != "" {
			a.AnnounceError = &text
		}
	}
}

// pick returns the place where a LIM is active, nil if there is none. Of two,
// the one whose word is good goes first, then the one that holds the alias,
// then the higher term.
func pick(home, away *place) *place {
	switch {
	case !away.runs() && !home.runs():
		return nil
	case !away.runs():
		return home
	case !home.runs():
		return away
	case home.trusted() != away.trusted():
		return either(home.trusted(), home, away)
	case home.claim.Holds != away.claim.Holds:
		return either(home.claim.Holds, home, away)
	}
	return either(home.claim.Term >= away.claim.Term, home, away)
}

func either(first bool, a, b *place) *place {
	if first {
		return a
	}
	return b
}

// runsOn tells of a LIM that is active on a server whose word is good.
func (l *StatusLIM) runsOn(p *place, now time.Time) {
	l.ActiveOn, l.Side = &p.name, string(p.side)
	l.says(p)
	if p.side == clusterconf.SideStandby {
		l.Fallback.BlockedBy = append(l.Fallback.BlockedBy, p.claim.BlockedBy...)
		if held := p.claim.HeldUntil.Sub(now); held > 0 {
			l.Fallback.HeldForMs = held.Milliseconds()
			l.Fallback.BlockedBy = append(l.Fallback.BlockedBy, fmt.Sprintf("held for %s more because %s", held.Round(time.Second), p.claim.HeldWhy))
		}
		ready := len(l.Fallback.BlockedBy) == 0
		l.Fallback.Ready = &ready
	}
}

// nowhere tells of a LIM that no server is known to run. It is in the state of
// its regular server; where that is gone, the standby says why it does not
// serve instead.
func (l *StatusLIM) nowhere(home, away *place) {
	if home.idle() && away.idle() {
		l.Side = "none"
	}
	if home.trusted() {
		l.says(home)
	}
	if !away.trusted() || away.claim.Reason == "" {
		return
	}
	switch {
	case away.claim.Waiting:
		l.Waiting, l.State, l.Reason = true, "waiting", away.claim.Reason
	case home.Liveness == failover.Gone:
		l.State, l.Reason = string(away.claim.State), away.claim.Reason
	case !home.trusted():
		l.Reason = away.claim.Reason
	}
}

// says takes over what a server says of the LIM on it.
func (l *StatusLIM) says(p *place) {
	l.State, l.Reason = string(p.claim.State), p.claim.Reason
	l.Since, l.Alias.LastAnnounced = utc(p.claim.Since), utc(p.claim.Announced)
	if !p.claim.Serving.IsZero() {
		l.Since = utc(p.claim.Serving)
	}
	l.Cause = cause(p.claim.Cause)
}

// data compares the newest data versions of the two sides: by what they say of themselves,
// as a sync does. Versions stay on disk: those of a server that is silent now count with
// what it said last, but whether both sides agree is not known then. A server that names
// no version may not have looked yet: then there is nothing to say.
func (in *Input) data(home, away *place) *StatusData {
	h, a := home.claim.Data, away.claim.Data
	if !home.trusted() && !away.trusted() {
		return nil
	}
	damaged := union(home.claim.Damaged, away.claim.Damaged)
	if h == nil && a == nil {
		if looked := home.looked() && away.looked(); len(damaged) == 0 && !looked {
			return nil
		}
		return &StatusData{Damaged: damaged, NextSyncAt: nextSync(home, away)}
	}
	order := h.Order(a)
	newest, on := h, string(home.side)
	switch {
	case order == lineage.Same, order == lineage.Unknown && a.Newest.Equal(h.Newest):
		on = "both"
	case order == lineage.Older, order != lineage.Newer && a.Newest.After(h.Newest):
		newest, on = a, string(away.side)
	}
	age := max(in.Now.Sub(newest.Newest).Milliseconds(), 0)
	d := &StatusData{Newest: &newest.Version, NewestOn: &on, AgeMs: &age, Damaged: damaged, NextSyncAt: nextSync(home, away)}
	known := home.trusted() && away.trusted() && order != lineage.Unknown
	switch told := h != nil && h.Conflict || a != nil && a.Conflict; {
	case known:
		same, conflict := order == lineage.Same, order == lineage.Apart
		d.InSync, d.Conflict = &same, &conflict
		if !same && !conflict {
			ms := in.behind(newest, h, a).Milliseconds()
			d.BehindMs = &ms
		}
	case told: // by the last sync
		same, conflict := false, true
		d.InSync, d.Conflict = &same, &conflict
	}
	return d
}

// behind is by how much what the one side has is older than the newest version; where it
// has none, that version's age.
func (in *Input) behind(newest, h, a *failover.Data) time.Duration {
	for _, d := range []*failover.Data{h, a} {
		if d != nil && d != newest {
			return max(newest.Newest.Sub(d.Newest), 0)
		}
	}
	return max(in.Now.Sub(newest.Newest), 0)
}

// looked reports whether a server has been there for long enough to know its data, or is no
// server that could have any.
func (p *place) looked() bool {
	return p.name == "" || p.trusted() && p.Claim.Looked
}

// nextSync is when the first of the two servers will synchronise the data; nil where
// neither can, or that is not known.
func nextSync(places ...*place) *time.Time {
	var first time.Time
	for _, p := range places {
		if at := p.claim.NextSync; p.Liveness == failover.Alive && !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return utc(first)
}

// union returns what is in one of two lists, each once, sorted; never nil.
func union(a, b []string) []string {
	all := append(append([]string{}, a...), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
