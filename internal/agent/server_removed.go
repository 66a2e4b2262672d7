package agent

import (
	"fmt"
	"log/slog"

	"mxcluster/clusterconf"
)

// withSelf returns the document to put into force. If it has removed this server from the system,
// the server is treated like a free one: its LIM is stopped and its alias removed, and it keeps
// listening, as it may be added again. self is nil if nothing is known of this server.
func (a *documents) withSelf(d *clusterconf.Document) (doc *clusterconf.Document, self *clusterconf.Server) {
	if self := d.Server(a.cfg.Server); self != nil {
		return d, self
	}
	if a.self.Name != a.cfg.Server {
		return d, nil
	}
	doc = d.Clone()
	doc.Servers = append(doc.Servers, clusterconf.Server{Name: a.self.Name, Base: a.self.Base, Interface: a.self.Interface})
	return doc, doc.Server(a.cfg.Server)
}

// noteRemoved records whether this server is in the stored document.
func (a *documents) noteRemoved(stored *clusterconf.Document, self *clusterconf.Server) {
	was := a.removed
	a.removed = 0
	if stored.Server(a.cfg.Server) == nil {
		a.removed = stored.Revision
	} else if a.self != *self {
		a.self, a.kept.unsaved = *self, true
	}
	switch {
	case was == 0 && a.removed != 0:
		a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "removed", a.removedText())
	case was != 0 && a.removed == 0:
		a.journal.documentFile(slog.LevelInfo, a.doc.Revision, "added", fmt.Sprintf("%s is a server of the system again", a.cfg.Server))
	}
}

// removedText words that this server is no longer in the system.
func (a *documents) removedText() string {
	return fmt.Sprintf("%s was removed from the system at revision %d or before, and idles: its aliases are taken off and its LIM is stopped", a.cfg.Server, a.removed)
}
