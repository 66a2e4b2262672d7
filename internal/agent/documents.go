package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
)

// documents handles the cluster document: the stored one and its file, edits, documents of other
// servers, and the steps that agents take by themselves. It decides which document is in force; the
// agent applies it.
type documents struct {
	*core
	documentHost
	kept  *keptState
	mail  *messenger
	peers *peers

	stored     *clusterconf.Encoded // the document in force as stored: it may lack this server
	onDisk     onDisk
	notInForce error           // why the document on disk is not in force; nil: it is, or it is invalid
	awaited    string          // hash of the last document of another server that was stored
	storing    bool            // a document of another server is being stored
	unread     unreadDocument  // of another server, which cannot be read here
	lastAsked  time.Time       // last request for a document
	askedFor   clusterconf.Age // age of the requested document
	editing

	storingStep bool      // a step is being stored
	stepBegan   time.Time // when storing the last step began
	steps       failover.Step
}

// documentHost is what documents need of the agent.
type documentHost interface {
	setDocument(d *clusterconf.Encoded) error // puts it in force
	Reload(ctx context.Context) error
	view(now time.Time) failover.View
	claim(now time.Time) failover.Claim
}

// readDocument reloads the document if its file changed. One that cannot be used leaves the former
// one in force.
func (a *documents) readDocument() {
	was := a.notInForce
	if err := a.reload(); err != nil && (was == nil || was.Error() != err.Error()) {
		a.log.Error("the cluster document on disk is not in force", "revision", a.doc.Revision, "err", err)
	}
}

// reload puts the document on disk into force. A valid one that cannot be put into force, because
// of a kernel or port, is retried every second.
func (a *documents) reload() error {
	a.notInForce = nil
	found := a.deps.Documents.Look()
	d := found.Document
	switch {
	case found.Problem != nil:
		a.differs(found, found.Problem.Error())
		return found.Problem
	case d.Revision == a.doc.Revision && d.Hash() == a.hash:
		a.onDisk = onDisk{busy: a.onDisk.busy}
		return nil
	case a.storing: // checked again when that is done
		return nil
	case d.System != a.doc.System:
		err := fmt.Errorf("it is of system %s, this server belongs to %s", d.System, a.doc.System)
		a.differs(found, err.Error())
		return err
	case a.byHand(d):
		a.differs(found, "")
		return nil
	}
	if err := a.setDocument(d); err != nil {
		a.notInForce = fmt.Errorf("putting revision %d of the cluster document into force: %w", d.Revision, err)
		return a.notInForce
	}
	a.onDisk = onDisk{busy: a.onDisk.busy}
	return nil
}

// unreadDocument is a newer document that this server's version cannot read. It is kept over the
// agent's restart: what it says counts, whether anybody who has it is heard or not.
type unreadDocument struct {
	Age     clusterconf.Age `json:"age"`     // that was asked for
	From    string          `json:"from"`    // server that has it
	Why     string          `json:"why"`     // with place and key; "": there is none
	Program levels.Program  `json:"program"` // that could not read it
}

func (u *unreadDocument) words() string {
	return fmt.Sprintf("revision %d of the cluster document, which %s has, cannot be read by this version of mxcluster", u.Age.Revision, u.From)
}

// unreadFor is how long a document that could not be read is not asked for again: whoever has it
// may have been mistaken.
const unreadFor = time.Minute

// unreadable says why this server cannot follow the others' document; "": it can.
func (a *documents) unreadable() string {
	if a.unread.Age.Compare(a.doc.Age()) <= 0 {
		return ""
	}
	return a.unread.Why
}

// restoreUnread goes on by what the last run could not read. Another version asks for it again.
func (a *documents) restoreUnread(u unreadDocument) {
	if u.Program == levels.Told(a.cfg.Version, a.cfg.Levels) {
		a.unread = u
	}
}

// forgetUnread forgets a document that could not be read when the server that sent it works by an
// older one again.
func (a *documents) forgetUnread(c *failover.Claim) {
	if c.Server == a.unread.From && c.Age().Compare(a.unread.Age) < 0 {
		a.unread, a.kept.unsaved = unreadDocument{}, true
	}
}

// requestDocument asks a server for its newer document. For one revision it asks one server per
// second, since many have it in a large system. A server that cannot be reached is not counted.
func (a *documents) requestDocument(server string, age clusterconf.Age) {
	now, pause := time.Now(), time.Second
	if age == a.unread.Age {
		pause = unreadFor
	}
	if a.storing || a.onDisk.broken != "" || age.Compare(a.askedFor) <= 0 && now.Sub(a.lastAsked) < pause {
		return
	}
	a.lastAsked, a.askedFor = now, age
	a.mail.send(server, message{Type: typeDocumentRequest}, func(error) { a.lastAsked = time.Time{} })
}

// documentHeard stores a document of another server if it supersedes ours. Another program may hold
// the store's lock, so it runs beside the main loop, which must turn for leases to be renewed.
func (a *documents) documentHeard(from string, raw []byte) {
	d, err := clusterconf.ParseEncoded("the document of "+from, raw)
	if err != nil {
		if a.unread.Why != err.Error() {
			a.log.Error("a document of another server cannot be read here; the last one stays in force", "from", from, "err", err)
		}
		a.unread = unreadDocument{Age: a.askedFor, From: from, Why: err.Error(), Program: levels.Told(a.cfg.Version, a.cfg.Levels)}
		a.kept.unsaved = true
		return
	}
	if d.System != a.doc.System {
		a.log.Error("ignoring the document of another system, which shares a network and a gossip key with this one", "from", from, "system", d.System)
		return
	}
	if a.storing || a.onDisk.broken != "" || a.onDisk.busy {
		a.lastAsked = time.Time{} // requested again when that is done
		return
	}
	a.storing = true
	loser := a.stored.Bytes()
	a.wg.Go(func() {
		ctx, cancel := a.background(5 * time.Second)
		defer cancel()
		res, err := a.deps.Documents.Adopt(ctx, d)
		a.post(func() {
			a.storing, a.kept.room.store = false, errText(noRoom(err))
			if err == nil && res.Conflict {
				a.noteConflict(from, d.Document, loser, res)
			}
			switch {
			case err != nil:
				a.log.Error("storing a newer document", "from", from, "revision", d.Revision, "err", err)
			case res.Adopted:
				a.awaited = d.Hash()
				a.log.Info("document taken over", "from", from, "revision", d.Revision)
				if res.TooFar {
					a.journal.documentFile(slog.LevelWarn, a.doc.Revision, "far", fmt.Sprintf("revision %d of the cluster document came from %s; so much lies between it and revision %d, which %s worked by, that it cannot be seen whether that one was edited apart: `mxcluster config diff %d %d`", d.Revision, from, a.doc.Revision, a.cfg.Server, a.doc.Revision, d.Revision))
				}
				if res.Unkept != nil {
					a.log.Error("the document before it is not in this server's history", "revision", d.Revision, "err", res.Unkept)
				}
				fallthrough
			default:
				a.readDocument()
			}
			a.catchUp()
		})
	})
}

// noteConflict reports two documents of which neither was edited from the other. The losing
// document is sent to the server that sent the winner, which may not know it, and to the editor,
// whose next edit must supersede both.
func (a *documents) noteConflict(from string, d *clusterconf.Document, loser []byte, res clusterconf.Adoption) {
	winner, lost := a.doc, d
	if res.Adopted {
		winner, lost = d, a.doc
		a.owed = map[string][]byte{from: loser, d.EditedOn(): loser}
		delete(a.owed, a.cfg.Server)
		a.sendOwed()
	}
	text := fmt.Sprintf("the cluster document was edited apart: revision %d, changed on %s, is in force; revision %d, changed on %s, is not, and is kept on %s in %s; the next edit goes above both",
		winner.Revision, changedOn(winner), lost.Revision, changedOn(lost), a.cfg.Server, res.Kept)
	if a.conflict == winner.Revision && a.conflictText == text {
		return
	}
	a.conflict, a.conflictText, a.kept.unsaved = winner.Revision, text, true
	a.journal.conflict(0, text)
}

// sendOwed sends losing documents to these servers, as soon as they are heard.
func (a *documents) sendOwed() {
	for name, raw := range a.owed {
		if p := a.peers.all[name]; p == nil || p.Liveness != failover.Alive {
			continue
		}
		delete(a.owed, name)
		a.mail.send(name, message{Type: typeDocument, Document: raw}, func(error) { a.owed[name] = raw })
	}
}

func changedOn(d *clusterconf.Document) string {
	return cmp.Or(d.Changed.On, "a server that is not known")
}

// catchUp requests documents again that did not arrive, or could not be stored.
func (a *documents) catchUp() {
	for name, p := range a.peers.all {
		if p.Liveness == failover.Alive && p.Claim != nil && a.peers.behind(p.Claim) {
			a.requestDocument(name, p.Claim.Age())
		}
	}
}
