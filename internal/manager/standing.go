package manager

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Standing is how the pair stands.
type Standing struct {
	Redundant *bool  // whether the other server has what is written; nil: cannot be seen
	Why       string // in one sentence
	Active    Role   // which server accepts writes; "": none, both, or not known
	Both      bool   // both accept writes
	LagBytes  *int64 // what the other server has not replayed; nil: not known
	LagAge    *time.Duration
	Differ    []string // settings that are not the same on both servers, as "name: A here, B there"
	Slots     []string // what is wrong with slots
}

// Judge tells how the pair stands by what was seen of its servers at a time.
func Judge(p Pair, sights map[Role]Sight, now time.Time) Standing {
	dbs, unseen := map[Role]*Database{}, []string{}
	for _, r := range []Role{Master, Standby} {
		d, why := sights[r].database()
		if dbs[r] = d; d == nil {
			unseen = append(unseen, p.Server(r).Name+": "+why)
		}
	}
	var st Standing
	if len(unseen) > 0 {
		st.Why = strings.Join(unseen, "; ")
		for _, r := range []Role{Master, Standby} { // one who does not answer may accept writes, too
			if d := dbs[r]; d != nil && !d.ReadOnly {
				st.Why += "; " + p.Server(r).Name + " accepts writes"
			}
		}
		return st
	}
	st.Differ = differ(p, dbs[Master], dbs[Standby])
	no := false
	switch m, s := dbs[Master], dbs[Standby]; {
	case m.SystemID != s.SystemID:
		st.Redundant, st.Why = &no, "the two servers have data of their own: neither follows the other"
	case !m.ReadOnly && !s.ReadOnly:
		st.Redundant, st.Both, st.Why = &no, true, "both servers accept writes: what is written on one is not on the other"
	case m.ReadOnly && s.ReadOnly:
		st.Redundant, st.Why = &no, "neither server accepts writes"
	case !m.ReadOnly:
		st.follows(p, Master, dbs, now)
	default:
		st.follows(p, Standby, dbs, now)
	}
	return st
}

// follows judges whether the other server has what is written on the active one. Streaming
// counts where both sides see it: each forgets the other only after a time. The address that a
// follower comes from says nothing, for it may be that of a LIM that the server has.
func (st *Standing) follows(p Pair, active Role, dbs map[Role]*Database, now time.Time) {
	st.Active = active
	from, to := dbs[active], dbs[active.Other()]
	fromName, toName := p.Server(active).Name, p.Server(active.Other()).Name
	lag := to.Position.Behind(from.Position)
	st.LagBytes = &lag
	if lag > 0 && to.ReplayedAt != nil {
		age := max(now.Sub(*to.ReplayedAt), 0)
		st.LagAge = &age
	}
	for _, s := range from.Slots {
		switch {
		case s.Lost():
			st.Slots = append(st.Slots, fmt.Sprintf("slot %s on %s is past its bound: %s needs a fresh copy", s.Name, fromName, toName))
		case !s.Active:
			st.Slots = append(st.Slots, fmt.Sprintf("slot %s on %s is used by nobody, and keeps %d MB of the log", s.Name, fromName, MB(s.Retained)))
		}
	}
	redundant := false
	st.Redundant = &redundant
	streams := slices.ContainsFunc(from.Followers, func(f Follower) bool { return f.State == "streaming" })
	switch {
	case to.Upstream == nil:
		st.Why = toName + " receives nothing"
	case to.Upstream.Status != "streaming":
		st.Why = fmt.Sprintf("%s does not stream from %s: it is %s", toName, fromName, to.Upstream.Status)
	case !streams:
		st.Why = fmt.Sprintf("%s does not see %s stream from it", fromName, toName)
	case to.Timeline != from.Timeline:
		st.Why = fmt.Sprintf("%s is on timeline %d, %s on %d", toName, to.Timeline, fromName, from.Timeline)
	default:
		redundant = true
		st.Why = fmt.Sprintf("%s accepts writes, %s streams from it", fromName, toName)
	}
}

// differ lists the settings that both servers should have alike.
func differ(p Pair, m, s *Database) (found []string) {
	for _, name := range slices.Sorted(maps.Keys(m.Settings)) {
		if theirs, ok := s.Settings[name]; ok && theirs != m.Settings[name] {
			found = append(found, fmt.Sprintf("%s: %s on %s, %s on %s", name, m.Settings[name], p.Master.Name, theirs, p.Standby.Name))
		}
	}
	return found
}
