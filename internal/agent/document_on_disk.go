package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"mxcluster/clusterconf"
)

const (
	brokenFor    = 30 * time.Second // how long a document that cannot be used stays as it is before it is replaced
	byHandFor    = 2 * time.Second  // how long one that was edited by hand does, before that is taken over or set aside
	documentLate = 5 * time.Second  // after which it is told that a server has not got the present document
	silentFor    = 3 * time.Second  // after which it is told that an agent is silent that did not say that it stops
)

// onDisk is what lies in the place of the document on the disk, where that is not what
// this agent works by.
type onDisk struct {
	found  clusterconf.Found
	since  time.Time // since when it is as it is; zero: it is what this agent works by
	broken string    // why it cannot be put into force; "": it was edited by hand
	busy   bool      // it is being put right
}

// firstDocument returns what to work by at the start. Where the stored one cannot be
// used, is of another system, is older than what this server worked by, or was edited by
// hand since, that is what it worked by last; what lies there is then put right as if it
// had come about now. To bring a server into another system is the part of `init` and
// `join`.
func (a *documents) firstDocument() (*clusterconf.Encoded, error) {
	found, last := a.deps.Documents.Look(), a.deps.Documents.Remembered()
	d := found.Document
	switch {
	case last == nil:
		return d, found.Problem
	case d == nil:
		a.log.Error("the cluster document cannot be used; going on by the last one", "revision", last.Revision, "err", found.Problem)
		return last, nil
	case d.System != last.System:
		a.log.Error("the cluster document is of another system; going on by the last one of this one", "system", d.System, "revision", last.Revision)
		return last, nil
	case d.Age().Compare(last.Age()) > 0:
		return d, nil
	case d.Age() == last.Age() && (!d.Changed.At.Equal(last.Changed.At) || d.Hash() == last.Hash()):
		return d, nil
	}
	return last, nil
}

// remember keeps what this agent works by, beside the main loop.
func (a *documents) remember(d *clusterconf.Encoded) {
	a.wg.Go(func() {
		if err := a.deps.Documents.Remember(d); err != nil {
			a.log.Warn("keeping a copy of the cluster document", "revision", d.Revision, "err", err)
		}
	})
}

// tendOnDisk looks again at what was not as it should be, and puts it right when it
// stayed so for long enough: whoever is at it may be about to go on.
func (a *documents) tendOnDisk(now time.Time) {
	if a.onDisk.since.IsZero() || a.onDisk.busy || a.storing || a.stopping {
		return
	}
	a.readDocument()
	limit := brokenFor
	if a.onDisk.broken == "" {
		limit = byHandFor
	}
	switch {
	case a.onDisk.since.IsZero() || now.Sub(a.onDisk.since) < limit:
	case a.onDisk.broken != "":
		a.setAside("cannot be used: " + a.onDisk.broken)
	default:
		a.takeByHand(now)
	}
}

// differs notes that something lies in the document's place that this agent does not
// work by.
func (a *documents) differs(found clusterconf.Found, broken string) {
	if a.onDisk.since.IsZero() || a.onDisk.found.Mark != found.Mark {
		a.onDisk.found, a.onDisk.since = found, time.Now()
		if broken != "" {
			a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "unreadable", fmt.Sprintf("the cluster document on the disk of %s cannot be used; revision %d stays in force: %s", a.cfg.Server, a.doc.Revision, broken))
		}
	}
	a.onDisk.broken = broken
}

// byHand reports whether a document that lies on the disk came about by hand: every
// command counts the revision up, and what another server sent is expected.
func (a *documents) byHand(d *clusterconf.Encoded) bool {
	return d.Age().Compare(a.doc.Age()) <= 0 && d.Hash() != a.awaited
}

// setAside puts what this agent works by in the place of what lies there, as it was
// stored: on a server that was removed it works by another one.
func (a *documents) setAside(why string) {
	found, d := a.onDisk.found, a.stored
	a.putRight(func(ctx context.Context) (string, error) {
		kept, err := a.deps.Documents.SetAside(ctx, found, d)
		text := fmt.Sprintf("revision %d of the cluster document is on the disk of %s again; what lay there %s", d.Revision, a.cfg.Server, why)
		if kept != "" {
			text += fmt.Sprintf("; it is kept on %s in %s", a.cfg.Server, kept)
			if found.Document != nil {
				text += fmt.Sprintf(": there, `mxcluster config edit --from %s` goes on with it", kept)
			}
		}
		return text, err
	})
}

// takeByHand makes a valid edit by hand the next revision, by the rules of `config
// edit`; where those do not let it, it is set aside.
func (a *documents) takeByHand(now time.Time) {
	if why := a.mayNotTake(now); why != "" {
		a.setAside("was edited by hand, and " + why)
		return
	}
	found, before := a.onDisk.found, clusterconf.Freeze(a.doc)
	change := clusterconf.Change{By: agentUser, On: a.cfg.Server, Command: "an edit of the file by hand"}
	a.putRight(func(ctx context.Context) (string, error) {
		res, err := a.deps.Documents.TakeByHand(ctx, found, before, change)
		if err != nil || !res.Changed {
			return "", err
		}
		return fmt.Sprintf("the cluster document was edited by hand on %s; that is revision %d now", a.cfg.Server, res.After.Revision), nil
	})
}

// mayNotTake says why an edit by hand cannot become a revision; "": it can.
func (a *documents) mayNotTake(now time.Time) string {
	d := a.onDisk.found.Document.Document
	next := a.doc.Clone()
	if err := next.ReplaceWith(d); err != nil {
		return err.Error()
	}
	if what, command := a.doc.Missing(d); what != "" {
		return fmt.Sprintf("it has no %s any more: `%s` takes such things away", what, command)
	}
	switch place := a.place(now); {
	case len(clusterconf.Exchanges(a.doc, next)) > 0 || len(clusterconf.Moves(a.doc, next)) > 0:
		return "it exchanges addresses, for which the servers have to make ready"
	case place.Server == "":
		return place.Why
	case place.Server != a.cfg.Server:
		return fmt.Sprintf("edits by hand count on %s alone, where edits are carried out", place.Server)
	case place.Raise || a.inPlaceOf() != "":
		return "edits are carried out here in the place of another server, which `mxcluster config edit` does"
	}
	return ""
}

// putRight has something done to what lies on the disk, beside the main loop, and looks
// at it again.
func (a *documents) putRight(do func(ctx context.Context) (told string, err error)) {
	a.onDisk.busy = true
	a.wg.Go(func() {
		ctx, cancel := a.background(5 * time.Second)
		defer cancel()
		told, err := do(ctx)
		a.post(func() {
			a.onDisk.busy = false
			switch {
			case err != nil:
				a.log.Error("putting the cluster document on the disk right", "err", err)
				a.onDisk.since = time.Now() // it is tried again when that time is over once more
			case told != "":
				a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "put right", told)
			}
			a.readDocument()
			a.catchUp()
		})
	})
}
