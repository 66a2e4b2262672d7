package clusterconf

import "strconv"

// The document in canonical form: the counterpart of what the reader reads.

// head writes what tells a document from others of its system.
func (w *writer) head(d *Document) {
	w.text("apiVersion", d.APIVersion)
	w.text("kind", d.Kind)
	w.text("system", d.System)
	w.key("revision")
	w.buf = append(strconv.AppendUint(append(w.buf, ' '), d.Revision, 10), '\n')
	if d.Epoch != 0 {
		w.key("epoch")
		w.buf = append(strconv.AppendUint(append(w.buf, ' '), d.Epoch, 10), '\n')
	}
	w.section("changed", func() { w.change(&d.Changed) })
	w.textIf("editor", d.Editor)
}

// content writes what an edit changes.
func (w *writer) content(d *Document) {
	if len(d.Servers) == 0 {
		w.key("servers")
		w.buf = append(w.buf, " []\n"...)
	}
	items(w, "servers", d.Servers, w.server)
	items(w, "lims", d.LIMs, w.lim)
	items(w, "clusters", d.Clusters, w.cluster)
}

func (w *writer) change(c *Change) {
	w.time("at", c.At)
	w.textIf("by", c.By)
	w.textIf("server", c.On)
	w.textIf("command", c.Command)
	w.textIf("reason", c.Reason)
}

func (w *writer) server(s *Server) {
	w.text("name", s.Name)
	w.address("base", s.Base)
	if s.ReachedAt.IsValid() {
		w.address("reachedAt", s.ReachedAt)
	}
	w.text("interface", s.Interface)
	if s.LIM != 0 {
		w.number("lim", s.LIM)
	}
	w.yes("standby", s.Standby)
}

func (w *writer) lim(l *LIM) {
	w.number("lim", l.Number)
	items(w, "services", l.Services, func(s *Service) {
		w.text("run", s.Run)
		w.yes("regularOnly", s.RegularOnly)
	})
	if m := l.MediaServer; m != nil {
		w.section("mediaServer", func() {
			w.text("kind", string(m.Kind))
			w.address("media", m.Media)
			w.address("control", m.Control)
		})
	}
	items(w, "gateways", l.Gateways, w.word)
	if l.Prompts != "" {
		w.text("prompts", l.Prompts)
	}
}

func (w *writer) word(text *string) {
	w.begin()
	w.scalar(*text)
}

func (w *writer) cluster(c *Cluster) {
	w.text("name", c.Name)
	w.text("standby", c.Standby)
	w.text("fallback", string(c.Fallback))
	w.text("failover", string(c.Failover))
	if c.FailoverAfter != 0 {
		w.text("failoverAfter", c.FailoverAfter.String())
	}
	w.text("splitBrainStop", string(c.SplitBrainStop))
	if len(c.LIMs) == 0 {
		w.key("lims")
		w.buf = append(w.buf, " []\n"...)
	}
	items(w, "lims", c.LIMs, w.member)
}

func (w *writer) member(m *Member) {
	w.number("lim", m.LIM)
	w.address("alias", m.Alias)
	w.number("priority", m.Priority)
	if l := m.Lock; l != nil {
		w.section("lock", func() {
			w.text("to", string(l.To))
			w.time("since", l.Since)
			w.textIf("by", l.By)
			w.textIf("reason", l.Reason)
			if l.Expires != nil {
				w.time("expires", *l.Expires)
			}
		})
	}
	w.yes("leaving", m.Leaving)
	w.textIf("serverIsDead", m.Dead)
}
