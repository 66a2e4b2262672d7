package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mxcluster/clusterconf"
)

const (
	brokenFor    = 30 * time.Second // how long a document that cannot be used is left before it is replaced
	byHandFor    = 2 * time.Second  // how long an edit by hand is left before it is committed or set aside
	documentLate = 5 * time.Second  // after which a server with an old document is reported
	silentFor    = 3 * time.Second  // after which a silent agent that did not announce its stop is reported
)

// onDisk is the content of the document's file, if that is not the document in force.
type onDisk struct {
	found  clusterconf.Found
	since  time.Time // since when it is unchanged; zero: it is the document in force
	broken string    // why it cannot be put into force; "": it was edited by hand
	busy   bool      // it is being corrected
}

// firstDocument returns the document for the start of the agent. If the stored one cannot be used,
// belongs to another system, is older than the last one in force, or was edited by hand since, the
// last one in force is used; the file is then treated as if it had changed now. Only `init` and
// `join` bring a server into another system.
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

// remember saves the document in force, beside the main loop.
func (a *documents) remember(d *clusterconf.Encoded) {
	a.wg.Go(func() {
		if err := a.deps.Documents.Remember(d); err != nil {
			a.log.Warn("keeping a copy of the cluster document", "revision", d.Revision, "err", err)
		}
	})
}

// tendOnDisk checks again a file that is not as it should be, and corrects it once it has been
// unchanged for long enough: somebody may be editing it.
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

// differs records that the document's file differs from the document in force.
func (a *documents) differs(found clusterconf.Found, broken string) {
	if a.onDisk.since.IsZero() || a.onDisk.found.Mark != found.Mark {
		a.onDisk.found, a.onDisk.since = found, time.Now()
		if broken != "" {
			a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "unreadable", fmt.Sprintf("the cluster document on the disk of %s cannot be used; revision %d stays in force: %s", a.cfg.Server, a.doc.Revision, broken))
		}
	}
	a.onDisk.broken = broken
}

// byHand reports whether a document on the disk was edited by hand: commands raise the revision,
// and documents of other servers are expected.
func (a *documents) byHand(d *clusterconf.Encoded) bool {
	return d.Age().Compare(a.doc.Age()) <= 0 && d.Hash() != a.awaited
}

// setAside replaces the document's file by the stored document; on a removed server that is not the
// one in force.
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

// takeByHand commits a valid edit by hand as the next revision, by the rules of `config edit`;
// where they forbid it, the edit is set aside.
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

// mayNotTake returns why an edit by hand cannot be committed; "": it can.
func (a *documents) mayNotTake(now time.Time) string {
	d := a.onDisk.found.Document.Document
	next := a.doc.Clone()
	if err := next.ReplaceWith(d); err != nil {
		return err.Error()
	}
	if shut := clusterconf.Shuts(a.doc, next, a.peers.programs()); len(shut) > 0 {
		return fmt.Sprintf("it needs level %d of the cluster document, which %s cannot read", next.AtLevel(), strings.Join(shut, " and "))
	}
	if what, command := a.doc.Missing(d); what != "" {
		return fmt.Sprintf("it has no %s any more: `%s` takes such things away", what, command)
	}
	switch place := a.editPlace(now); {
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

// putRight runs a correction of the document's file beside the main loop, and then checks the file
// again.
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
				a.onDisk.since = time.Now() // retried after the same time
			case told != "":
				a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "put right", told)
			}
			a.readDocument()
			a.catchUp()
		})
	})
}
