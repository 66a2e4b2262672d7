package commands

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// leaveLimit is the default time for LIMs to leave their cluster; see --wait.
const leaveLimit = 20 * time.Second

// leave is the removal of LIMs from a cluster.
type leave struct {
	edit           // its final result and texts
	cluster string // that they leave
	lims    []int  // none: all of the cluster
	dead    string // a server that is lost for good; "": none is
}

// addDead adds the flag for what can be done without a server that is lost.
func (l *leave) addDead(f *pflag.FlagSet) {
	f.StringVar(&l.dead, "server-is-dead", "", "go on without this `server`, which is lost for good; refused while anything is heard of it")
}

// leaveCluster removes LIMs from a cluster. With agents it goes in steps, each a revision of the
// document, which the agents complete whatever happens to this command or a server (decision 0050).
// Without an agent here it is one edit.
func (s *server) leaveCluster(ctx context.Context, l leave) error {
	if !s.agent.Running(ctx) {
		if l.dead != "" {
			err := fault.New(fault.Unreachable, "start it: "+s.startCommand(s.dirs)+"; or leave out --server-is-dead: without an agent no server is waited for",
				"no agent runs here that could tell whether anything is heard of %s", l.dead)
			return doing(err, "%s", l.doing)
		}
		return s.perform(ctx, l.edit)
	}
	out, live, err := s.beginLeave(ctx, l)
	if err != nil {
		return doing(err, "%s", l.doing)
	}
	var waited error
	if out.Changed && !l.dryRun {
		if waited = s.awaitLeave(ctx, l, live); waited != nil {
			l.done = l.begun()
		}
		if now, err := s.store.Read(); err == nil {
			out.After.Revision = now.Revision
			out.left = append(out.left, l.keptBases(now)...)
		}
	}
	if err := s.tell(out, l.edit); err != nil || waited == nil {
		return err
	}
	return doing(waited, "%s", l.doing)
}

// begun words that the removal is in progress.
func (l *leave) begun() string {
	what := "cluster " + l.cluster + " is being deleted"
	if len(l.lims) > 0 {
		what = fmt.Sprintf("LIM %d is leaving cluster %s", l.lims[0], l.cluster)
	}
	return what + "; the agents go on with it"
}

// keptBases words which servers keep their former base, and until when.
func (l *leave) keptBases(doc *clusterconf.Document) []string {
	var left []string
	for _, s := range doc.Servers {
		if l.dead != "" && s.ReachedAt.IsValid() && doc.Server(l.dead) != nil {
			left = append(left, fmt.Sprintf("%s keeps its former base %s until %s has the document or is removed: mxcluster server remove %s",
				s.Name, s.ReachedAt.Addr(), l.dead, l.dead))
		}
	}
	return left
}

// beginLeave checks, asks, and stores the first step.
func (s *server) beginLeave(ctx context.Context, l leave) (out outcome, live []string, err error) {
	doc, err := s.read()
	if err != nil {
		return out, nil, err
	}
	place, err := whereToEdit(ctx, s, doc, l.force)
	if err != nil {
		return out, nil, err
	}
	record := s.record(l.edit)
	plan, err := s.store.Preview(record, l.apply)
	if err != nil {
		return out, nil, err
	}
	out = outcome{Result: plan, agent: true, place: place}
	if !plan.Changed {
		return out, nil, nil
	}
	if live, err = aliveServers(ctx, s, true); err != nil {
		return out, nil, err
	}
	first, err := s.store.Preview(record, l.begin)
	if err != nil {
		return out, nil, err
	}
	if first.Changed { // else it is in progress, and this command waits for its end
		if err := s.agent.Exchange(ctx, control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: l.cluster, LIMs: l.lims, Dead: l.dead}}); err != nil {
			return out, nil, err
		}
	}
	if err := s.preview(ctx, l.edit, &out); err != nil || l.dryRun {
		return out, nil, err
	}
	out.left = leftToDo(s, out, nil)
	if !first.Changed {
		return out, live, nil
	}
	if err := s.confirm(l.edit, out); err != nil {
		return out, nil, err
	}
	planned := clusterconf.Diff(out.Before.Document, out.After.Document)
	_, err = s.storeEdit(ctx, place, record, func(d *clusterconf.Document) error {
		end := d.Clone()
		if err := l.apply(end); err != nil {
			return err
		}
		if now := clusterconf.Diff(d, end); len(now) > 0 && !slices.Equal(now, planned) {
			return fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
		}
		return l.begin(d)
	})
	if err == nil && !place.agents {
		s.tellAgent(ctx)
	}
	return out, live, err
}

// begin marks the LIMs as leaving.
func (l *leave) begin(d *clusterconf.Document) error {
	if d.Cluster(l.cluster) == nil {
		return nil // somebody else has just done the same
	}
	return d.BeginLeave(l.cluster, l.dead, l.lims...)
}

// awaitLeave waits until the LIMs have left and, if asked to, until every live server knows it and
// the former bases are removed.
func (s *server) awaitLeave(ctx context.Context, l leave, live []string) error {
	limit := leaveLimit
	if l.wait > 0 {
		limit = l.wait
	}
	err := waitUntil(ctx, limit, func(ctx context.Context) (bool, string, error) {
		doc, err := s.read()
		if err != nil {
			return false, "", err
		}
		info, err := s.agent.Agent(ctx)
		if err != nil {
			return false, "", err
		}
		if l.here(doc) {
			return false, cmp.Or(strings.Join(info.Pending, "; "), "the agents take the next step"), nil
		}
		if l.wait == 0 {
			return true, "", nil
		}
		behind := serverBehind(info, doc.Revision, live)
		kept := behind == "" && allLive(doc, info) && slices.ContainsFunc(doc.Servers, func(s clusterconf.Server) bool { return s.ReachedAt.IsValid() })
		return behind == "" && !kept, behind + strings.Join(info.Pending, "; "), nil
	})
	if fault.CodeOf(err) == fault.Unknown {
		return fault.Wrap(err, fault.Unknown, "the agents go on with it; the same command again waits for its end, and 'mxcluster status' shows how things stand", "it goes on")
	}
	return err
}

// here reports whether one of the LIMs is still in the cluster.
func (l *leave) here(d *clusterconf.Document) bool {
	c := d.Cluster(l.cluster)
	if c == nil {
		return false
	}
	return len(l.lims) == 0 || slices.ContainsFunc(l.lims, func(lim int) bool { return c.Member(lim) != nil })
}

// allLive reports whether every other server's agent is alive.
func allLive(d *clusterconf.Document, info *control.AgentInfo) bool {
	alive := 0
	for _, m := range info.Members {
		if m.Liveness == livenessAlive {
			alive++
		}
	}
	return alive >= len(d.Servers)-1
}

// keepReached makes the servers that an edit moves keep their former base until the agents have
// told every server.
func keepReached(apply func(*clusterconf.Document) error, lives func(server string) bool) func(*clusterconf.Document) error {
	return func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := apply(d); err != nil {
			return err
		}
		return d.KeepReached(before, lives)
	}
}

// aliveCheck returns a function that reports whether a server's agent is alive, this one's
// included. The agent here is asked once, at the first call.
func aliveCheck(ctx context.Context, s *server) func(server string) bool {
	heard := sync.OnceValue(func() []string {
		info, err := s.agent.Agent(ctx)
		if err != nil {
			return nil
		}
		names := []string{info.Server}
		for _, m := range info.Members {
			if m.Liveness == livenessAlive {
				names = append(names, m.Server)
			}
		}
		return names
	})
	return func(server string) bool { return slices.Contains(heard(), server) }
}

// refuseLeaving refuses an edit by which a LIM would leave its cluster in one step: the standby
// would still hold an address that is a base by then.
func refuseLeaving(before *clusterconf.Document, exchanges []clusterconf.Exchange) error {
	for _, e := range exchanges {
		again := slices.ContainsFunc(exchanges, func(o clusterconf.Exchange) bool {
			return o.Server == e.Server && o.Direction == clusterconf.DirectionEnter
		})
		if e.Direction != clusterconf.DirectionLeave || again {
			continue
		}
		c := before.ClusterOfLIM(e.LIM)
		hint := fmt.Sprintf("first: mxcluster remove-lim %s %d", c.Name, e.LIM)
		if len(c.LIMs) == 1 {
			hint = "first: mxcluster delete " + c.Name
		}
		return fault.New(fault.Refused, hint, "LIM %d would leave cluster %s, which takes several steps", e.LIM, c.Name)
	}
	return nil
}
