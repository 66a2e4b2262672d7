package clusterconf

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Diff says in lines for people what leads from one document to another:
// servers, LIMs and clusters, each kind in canonical order. Revision, time and
// author are left out. Of equal contents there is nothing to say.
func Diff(before, after *Document) []string {
	before, after = before.Clone(), after.Clone()
	before.sort()
	after.sort()
	d := &differ{}
	d.value("system", before.System, after.System)
	if was, is := before.AtLevel(), after.AtLevel(); len(before.Servers) > 0 && len(after.Servers) > 0 {
		d.value("level", was, is)
	}
	d.value("keys of others", before.Others.text(), after.Others.text())
	pairs(before.Servers, after.Servers, func(s Server) string { return s.Name }, d.server)
	pairs(before.LIMs, after.LIMs, func(l LIM) int { return l.Number }, d.software)
	pairs(before.Clusters, after.Clusters, func(c Cluster) string { return c.Name }, d.cluster)
	d.value("management system", before.Management.text(), after.Management.text())
	return d.lines
}

// differ collects lines.
type differ struct {
	lines []string
}

func (d *differ) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// value notes a value that is not what it was.
func (d *differ) value(what string, was, is any) {
	if w, i := show(was), show(is); w != i {
		d.add("%s: %s -> %s", what, w, i)
	}
}

// show writes a value, and "none" for an empty one.
func show(v any) string { return cmp.Or(fmt.Sprint(v), "none") }

// pairs walks two sorted lists and hands over what has the same key; what is
// in one list only comes with nil.
func pairs[T any, K cmp.Ordered](before, after []T, key func(T) K, fn func(was, is *T)) {
	for len(before) > 0 || len(after) > 0 {
		var order int
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = cmp.Compare(key(before[0]), key(after[0]))
		}
		var was, is *T
		if order <= 0 {
			was, before = &before[0], before[1:]
		}
		if order >= 0 {
			is, after = &after[0], after[1:]
		}
		fn(was, is)
	}
}

func (d *differ) server(was, is *Server) {
	switch {
	case was == nil:
		d.add("server %s added: %s, base %s on %s", is.Name, use(is), is.Base, is.Interface)
	case is == nil:
		d.add("server %s removed: %s, base %s on %s", was.Name, use(was), was.Base, was.Interface)
	default:
		name := "server " + is.Name
		d.value(name+": use", use(was), use(is))
		d.value(name+": base", was.Base, is.Base)
		d.value(name+": still reached at", prefixText(was.ReachedAt), prefixText(is.ReachedAt))
		d.value(name+": interface", was.Interface, is.Interface)
		d.value(name+": drained", was.Drained.text(), is.Drained.text())
		d.value(name+": left behind", was.LeftBehind, is.LeftBehind)
		d.value(name+": keys of others", was.Others.text(), is.Others.text())
	}
}

// use says what a server is for.
func use(s *Server) string {
	if s.Role() == RoleRegular {
		return fmt.Sprintf("LIM %d", s.LIM)
	}
	return string(s.Role())
}

// software compares entries of LIMs; a LIM without one has an empty one.
func (d *differ) software(was, is *LIM) {
	if was == nil {
		was = &LIM{Number: is.Number}
	}
	if is == nil {
		is = &LIM{Number: was.Number}
	}
	name := fmt.Sprintf("LIM %d", is.Number)
	d.value(name+": services", servicesText(was), servicesText(is))
	d.value(name+": checks", strings.Join(was.Checks, ", "), strings.Join(is.Checks, ", "))
	d.value(name+": media server", was.MediaServer.text(), is.MediaServer.text())
	d.value(name+": gateways", strings.Join(was.Gateways, ", "), strings.Join(is.Gateways, ", "))
	d.value(name+": announcement prompts", was.Prompts, is.Prompts)
	d.value(name+": may be rehearsed", was.Rehearsable, is.Rehearsable)
	d.value(name+": keys of others", was.Others.text(), is.Others.text())
}

func servicesText(l *LIM) string {
	words := make([]string, len(l.Services))
	for i, s := range l.Services {
		words[i] = s.Run
		if s.RegularOnly {
			words[i] += " (regular only)"
		}
		words[i] += s.Others.beside()
	}
	return strings.Join(words, ", ")
}

func (m *MediaServer) text() string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%s, media %s, control %s", m.Kind, m.Media, m.Control) + m.Others.beside()
}

// text says all of a drain or a freeze on one line.
func (m *Maintenance) text() string {
	if m == nil {
		return ""
	}
	return m.String() + m.Others.beside()
}

func (d *differ) cluster(was, is *Cluster) {
	switch {
	case was == nil:
		d.add("cluster %s created: standby %s, fallback %s, failover %s after %s, split brain stops %s",
			is.Name, is.Standby, is.Fallback, is.Failover, Duration(is.SilenceLimit()), is.SplitBrainStop)
		d.value("cluster "+is.Name+": fallback window", Window{}, is.FallbackWindow)
		d.value("cluster "+is.Name+": rehearsals", RehearseOff, is.Rehearse)
		d.value("cluster "+is.Name+": keys of others", "", is.Others.text())
		was = &Cluster{}
	case is == nil:
		d.add("cluster %s deleted: standby %s", was.Name, was.Standby)
		is = &Cluster{Name: was.Name}
	default:
		d.settings(was, is)
	}
	name := "cluster " + is.Name
	pairs(was.LIMs, is.LIMs, func(m Member) int { return m.LIM }, func(was, is *Member) { d.member(name, was, is) })
}

// settings compares two clusters of one name, but for their LIMs.
func (d *differ) settings(was, is *Cluster) {
	name := "cluster " + is.Name
	d.value(name+": standby", was.Standby, is.Standby)
	d.value(name+": fallback", was.Fallback, is.Fallback)
	d.value(name+": failover", was.Failover, is.Failover)
	d.value(name+": failover after", afterText(was), afterText(is))
	d.value(name+": split brain stops", was.SplitBrainStop, is.SplitBrainStop)
	d.value(name+": fallback window", was.FallbackWindow, is.FallbackWindow)
	d.value(name+": rehearsals", was.Rehearse, is.Rehearse)
	d.value(name+": frozen", was.Frozen.text(), is.Frozen.text())
	d.value(name+": keys of others", was.Others.text(), is.Others.text())
}

func (d *differ) member(cluster string, was, is *Member) {
	switch {
	case was == nil:
		d.add("%s: LIM %d added, alias %s, priority %d", cluster, is.LIM, is.Alias, is.Priority)
		was = &Member{Alias: is.Alias, Priority: is.Priority}
	case is == nil:
		d.add("%s: LIM %d removed, alias %s", cluster, was.LIM, was.Alias)
		return
	}
	name := fmt.Sprintf("%s: LIM %d", cluster, is.LIM)
	d.value(name+": alias", was.Alias, is.Alias)
	d.value(name+": priority", was.Priority, is.Priority)
	d.value(name+": lock", was.Lock.text(), is.Lock.text())
	d.value(name+": leaves the cluster", was.leavingText(), is.leavingText())
	d.value(name+": keys of others", was.Others.text(), is.Others.text())
}

// leavingText says whether a LIM is on its way out of its cluster.
func (m *Member) leavingText() string {
	switch {
	case !m.Leaving:
		return "no"
	case m.Dead != "":
		return fmt.Sprintf("yes, %s is lost for good", m.Dead)
	}
	return "yes"
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// text says all of a lock on one line.
func (l *Lock) text() string {
	if l == nil {
		return ""
	}
	s := fmt.Sprintf("to %s since %s", l.To, timeText(l.Since))
	if l.Expires != nil {
		s += " until " + timeText(*l.Expires)
	}
	if l.By != "" {
		s += " by " + l.By
	}
	if l.Reason != "" {
		s += " (" + l.Reason + ")"
	}
	return s + l.Others.beside()
}

// afterText tells the default from an equal value that was set.
func afterText(c *Cluster) string {
	if c.FailoverAfter == 0 {
		return Duration(c.SilenceLimit()).String() + " (default)"
	}
	return c.FailoverAfter.String()
}
