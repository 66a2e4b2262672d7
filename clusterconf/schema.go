package clusterconf

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"mxcluster/internal/levels"
)

// The keys of the cluster document, in the order in which Encode writes them.
// What has a default may be left out.

func (r *reader) document(n *yaml.Node) *Document {
	d := &Document{}
	r.mapping("", n, &d.Others, []field{
		{"apiVersion", true, r.constant(&d.APIVersion, APIVersion)},
		{"kind", true, r.constant(&d.Kind, Kind)},
		{"level", false, r.integer(&d.Level)},
		{"system", true, text(r, &d.System)},
		{"revision", true, r.revision(&d.Revision)},
		{"epoch", false, r.revision(&d.Epoch)},
		{"changed", true, r.change(&d.Changed)},
		{"editor", false, text(r, &d.Editor)},
		{"servers", true, list(r, &d.Servers, r.server)},
		{"lims", false, list(r, &d.LIMs, r.lim)},
		{"clusters", false, list(r, &d.Clusters, r.cluster)},
		{"management", false, optional(&d.Management, r.management)},
		{"ancestors", false, list(r, &d.Ancestors, r.word)},
	})
	if d.Level == levels.First {
		d.Level = 0 // versions of the first level do not know the key
	}
	return d
}

func (r *reader) management(path string, n *yaml.Node) Management {
	m := Management{Fallback: FallbackManual}
	r.mapping(path, n, &m.Others, []field{
		{"address", true, r.prefix(&m.Address)},
		{"replicationUser", true, text(r, &m.ReplicationUser)},
		{"synchronous", false, r.boolean(&m.Synchronous)},
		{"fallback", false, text(r, &m.Fallback)},
	})
	return m
}

// constant reads a text that can have one value only.
func (r *reader) constant(dst *string, want string) readFunc {
	return func(path string, n *yaml.Node) {
		got, ok := r.scalar(path, n, "text", "!!str")
		if ok && got != want {
			r.report(path, n, "format", "this version of mxcluster reads "+want, path+" is "+strconv.Quote(got))
		}
		*dst = want
	}
}

func (r *reader) change(c *Change) readFunc {
	return func(path string, n *yaml.Node) {
		r.mapping(path, n, nil, []field{
			{"at", true, r.time(&c.At)},
			{"by", false, text(r, &c.By)},
			{"server", false, text(r, &c.On)},
			{"command", false, text(r, &c.Command)},
			{"reason", false, text(r, &c.Reason)},
		})
	}
}

func (r *reader) server(path string, n *yaml.Node) (s Server) {
	r.mapping(path, n, &s.Others, []field{
		{"name", true, text(r, &s.Name)},
		{"base", true, r.prefix(&s.Base)},
		{"reachedAt", false, r.prefix(&s.ReachedAt)},
		{"interface", true, text(r, &s.Interface)},
		{"lim", false, r.integer(&s.LIM)},
		{"standby", false, r.boolean(&s.Standby)},
		{"drained", false, optional(&s.Drained, r.maintenance)},
		{"leftBehind", false, r.boolean(&s.LeftBehind)},
	})
	return s
}

func (r *reader) lim(path string, n *yaml.Node) (l LIM) {
	r.mapping(path, n, &l.Others, []field{
		{"lim", true, r.integer(&l.Number)},
		{"services", false, list(r, &l.Services, r.service)},
		{"checks", false, list(r, &l.Checks, r.word)},
		{"mediaServer", false, optional(&l.MediaServer, r.mediaServer)},
		{"gateways", false, list(r, &l.Gateways, r.word)},
		{"prompts", false, text(r, &l.Prompts)},
		{"rehearsable", false, r.boolean(&l.Rehearsable)},
	})
	return l
}

func (r *reader) mediaServer(path string, n *yaml.Node) (m MediaServer) {
	r.mapping(path, n, &m.Others, []field{
		{"kind", true, text(r, &m.Kind)},
		{"media", true, r.address(&m.Media)},
		{"control", true, r.address(&m.Control)},
	})
	return m
}

func (r *reader) word(path string, n *yaml.Node) (w string) {
	text(r, &w)(path, n)
	return w
}

func (r *reader) service(path string, n *yaml.Node) (s Service) {
	r.mapping(path, n, &s.Others, []field{
		{"run", true, text(r, &s.Run)},
		{"regularOnly", false, r.boolean(&s.RegularOnly)},
	})
	return s
}

func (r *reader) cluster(path string, n *yaml.Node) Cluster {
	c := Cluster{Fallback: FallbackManual, Failover: FailoverNormal, SplitBrainStop: SideRegular}
	r.mapping(path, n, &c.Others, []field{
		{"name", true, text(r, &c.Name)},
		{"standby", true, text(r, &c.Standby)},
		{"fallback", false, text(r, &c.Fallback)},
		{"failover", false, text(r, &c.Failover)},
		{"failoverAfter", false, r.duration(&c.FailoverAfter)},
		{"splitBrainStop", false, text(r, &c.SplitBrainStop)},
		{"fallbackWindow", false, r.window(&c.FallbackWindow)},
		{"rehearse", false, r.rehearse(&c.Rehearse)},
		{"frozen", false, optional(&c.Frozen, r.maintenance)},
		{"lims", true, list(r, &c.LIMs, r.member)},
	})
	return c
}

func (r *reader) member(path string, n *yaml.Node) Member {
	m := Member{Priority: DefaultPriority}
	r.mapping(path, n, &m.Others, []field{
		{"lim", true, r.integer(&m.LIM)},
		{"alias", true, r.prefix(&m.Alias)},
		{"priority", false, r.integer(&m.Priority)},
		{"lock", false, optional(&m.Lock, r.lock)},
		{"leaving", false, r.boolean(&m.Leaving)},
		{"serverIsDead", false, text(r, &m.Dead)},
	})
	return m
}

func (r *reader) lock(path string, n *yaml.Node) (l Lock) {
	r.mapping(path, n, &l.Others, []field{
		{"to", true, text(r, &l.To)},
		{"since", true, r.time(&l.Since)},
		{"by", false, text(r, &l.By)},
		{"reason", false, text(r, &l.Reason)},
		{"expires", false, optional(&l.Expires, r.instant)},
	})
	return l
}

func (r *reader) maintenance(path string, n *yaml.Node) (m Maintenance) {
	r.mapping(path, n, &m.Others, []field{
		{"since", true, r.time(&m.Since)},
		{"until", false, optional(&m.Until, r.instant)},
		{"by", false, text(r, &m.By)},
		{"reason", false, text(r, &m.Reason)},
	})
	return m
}

func (r *reader) instant(path string, n *yaml.Node) (t time.Time) {
	r.time(&t)(path, n)
	return t
}
