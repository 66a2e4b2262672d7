package clusterconf

import (
	"context"
	"fmt"
	"slices"

	"mxcluster/internal/fault"
)

// Restore gives d the content of another document of the system. Revision and
// change stay: the store sets them.
func (d *Document) Restore(old *Document) error {
	if old.System != d.System {
		return fault.New(fault.Refused, "take a document of this system: mxcluster config history",
			"the document is of system %s, this server belongs to %s", old.System, d.System)
	}
	if err := staysPreloaded(d, old); err != nil {
		return err
	}
	c := old.Clone()
	d.Level, d.Servers, d.LIMs, d.Clusters, d.Management, d.Others = c.Level, c.Servers, c.LIMs, c.Clusters, c.Management, c.Others
	return nil
}

// staysPreloaded refuses a document that ends the preloading of a cluster: only its
// deletion does (spec ch. 10), in steps in which no two servers have the address.
func staysPreloaded(d, next *Document) error {
	for _, c := range d.Clusters {
		if c.Failover != FailoverPreloaded {
			continue
		}
		n := next.Cluster(c.Name)
		hint := "delete the cluster, and create it again without preloading: mxcluster delete " + c.Name
		switch {
		case n == nil:
			return fault.New(fault.Refused, hint, "cluster %s is preloaded, and would be gone", c.Name)
		case n.Failover != FailoverPreloaded:
			return fault.New(fault.Refused, hint, "cluster %s would not be preloaded any more", c.Name)
		case n.Standby != c.Standby || slices.ContainsFunc(c.LIMs, func(m Member) bool { return n.Member(m.LIM) == nil }):
			return fault.New(fault.Refused, hint, "cluster %s is preloaded, and would have another LIM or standby", c.Name)
		}
	}
	return nil
}

// Missing names what d has and other does not, a server, a LIM or a part of a cluster, with
// the command that takes such a thing away; "": other has it all.
func (d *Document) Missing(other *Document) (what, command string) {
	for _, c := range d.Clusters {
		n := other.Cluster(c.Name)
		if n == nil {
			return "cluster " + c.Name, "mxcluster delete"
		}
		for _, m := range c.LIMs {
			if n.Member(m.LIM) == nil {
				return fmt.Sprintf("LIM %d of cluster %s", m.LIM, c.Name), "mxcluster remove-lim"
			}
		}
	}
	for _, s := range d.Servers {
		if other.Server(s.Name) == nil {
			return "server " + s.Name, "mxcluster server remove"
		}
	}
	for _, l := range d.LIMs {
		if other.LIM(l.Number) == nil {
			return fmt.Sprintf("LIM %d", l.Number), "mxcluster server remove"
		}
	}
	return "", ""
}

// ReplaceWith gives d the content of a copy of it that was edited by hand. The
// copy's revision and time of change say what it was a copy of: if d is another
// document by now, the error has code fault.Busy.
func (d *Document) ReplaceWith(edited *Document) error {
	switch {
	case edited.Revision > d.Revision:
		return fault.New(fault.Refused, "leave the revision as it was; the store counts it up",
			"the edited document has revision %d, the stored one %d", edited.Revision, d.Revision)
	case edited.Revision < d.Revision:
		return fault.New(fault.Busy, "edit the present document: mxcluster config edit",
			"the cluster document was changed meanwhile: it has revision %d, the edit began with %d", d.Revision, edited.Revision)
	case !edited.Changed.At.Equal(d.Changed.At):
		return fault.New(fault.Busy, "edit the present document, and leave the time of its change as it is: mxcluster config edit",
			"the edit did not begin with the present document of revision %d", d.Revision)
	}
	return d.Restore(edited)
}

// Replace stores the text of a document that was edited by hand as the next
// revision. It is checked like any other; an error about its text has code
// fault.Invalid and wraps a *ValidationError. If the stored document is no
// longer the one that the edit began with, the error has code fault.Busy.
func (s *Store) Replace(ctx context.Context, change Change, raw []byte) (Result, error) {
	edited, err := Parse(editedName, raw)
	if err != nil {
		return Result{}, err
	}
	return s.Edit(ctx, change, func(d *Document) error { return d.ReplaceWith(edited) })
}

// PreviewReplace says what Replace would do and writes nothing.
func (s *Store) PreviewReplace(change Change, raw []byte) (Result, error) {
	edited, err := Parse(editedName, raw)
	if err != nil {
		return Result{}, err
	}
	return s.Preview(change, func(d *Document) error { return d.ReplaceWith(edited) })
}

// editedName stands for a file's name in messages about text.
const editedName = "the edited document"

// Rollback stores the content of an earlier revision as the next one. It is
// also the way out of a stored document that has become unreadable: that one is
// kept in history as it is, and Result.Before has no content.
func (s *Store) Rollback(ctx context.Context, revision uint64, change Change) (Result, error) {
	old, err := s.ReadRevision(revision)
	if err != nil {
		return Result{}, err
	}
	return s.edit(ctx, change, s.readOrStandIn(old.System), func(d *Document) error { return d.Restore(old) })
}

// PreviewRollback says what Rollback would do and writes nothing.
func (s *Store) PreviewRollback(revision uint64, change Change) (Result, error) {
	old, err := s.ReadRevision(revision)
	if err != nil {
		return Result{}, err
	}
	return s.preview(change, s.readOrStandIn(old.System), func(d *Document) error { return d.Restore(old) })
}

// lastKnown returns the newest document that can be read, beside a stored one that
// cannot; nil: there is none.
func (s *Store) lastKnown(kept []Entry) *Encoded {
	if last := s.Remembered(); last != nil {
		return last
	}
	for _, e := range kept {
		if e.doc != nil {
			return e.doc
		}
	}
	return nil
}

// readOrStandIn reads the stored document. In the place of a broken one it
// returns one without content, whose revision is at least what it can have had.
func (s *Store) readOrStandIn(system string) readStored {
	return func() (*Encoded, []byte, error) {
		data, err := s.raw()
		if err != nil {
			return nil, nil, err
		}
		doc, err := ParseEncoded(s.Path, data)
		if err == nil {
			return doc, data, nil
		}
		kept, err := s.kept(0)
		if err != nil {
			return nil, nil, err
		}
		none := &Document{APIVersion: APIVersion, Kind: Kind, System: system, Revision: saidRevision(data)}
		if len(kept) > 0 {
			none.Revision = max(none.Revision, kept[0].Revision+1)
		}
		if last := s.lastKnown(kept); last != nil {
			none.Epoch, none.Editor, none.Ancestors = last.Epoch, last.Editor, descend(last)
		}
		return Freeze(none), data, nil
	}
}
