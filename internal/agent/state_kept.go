package agent

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
)

// keptState keeps the state that outlives the process, and knows how well that works.
type keptState struct {
	*core
	take func() persisted // returns the present state

	state   persisted // last one kept
	saver   saver
	states  uint64    // number of the last state taken
	saves   int       // in progress
	saving  bool      // a save beside the main loop is running
	savedAt time.Time // start of the last save of what was heard
	unsaved bool      // something was heard that a later run should know
	room    room
	lost    string // why the last run's state could not be read; "": it was
}

// tend saves what was heard, and who is alive, from time to time.
func (a *keptState) tend(now time.Time) {
	a.lookForRoom(now)
	short := a.room.disk != "" || a.room.memory != ""
	if since := now.Sub(a.savedAt); !a.saving && (since >= seenPeriod || a.unsaved && since >= savePause && !short || short && since >= roomRetry) {
		a.savedAt, a.unsaved = now, false
		a.saveBeside()
	}
}

// saveBegin begins to save what must be saved before it is acted on, and returns a function that
// waits for that. The main loop does not wait; work that does not depend on it, such as probing the
// alias, goes on.
func (a *keptState) saveBegin() (wait func() error) {
	began := time.Now()
	saved, kept := a.save()
	return func() error {
		if !kept {
			return <-saved // nothing is done that is in neither place
		}
		select {
		case err := <-saved:
			return err
		case <-time.After(savePatience - time.Since(began)):
		}
		select { // both may be ready
		case err := <-saved:
			return err
		default:
		}
		a.log.Warn("the disk is slow: going on before the state is on it", "waited", savePatience)
		return nil
	}
}

// saveBeside saves the state beside the main loop, which a slow disk must not keep from renewing
// leases.
func (a *keptState) saveBeside() {
	a.saving = true
	saved, _ := a.save()
	a.wg.Go(func() {
		<-saved //nolint:errcheck // stateSaved tells what came of it
		a.post(func() { a.saving = false })
	})
}

// save keeps the state so that it outlives the process, and begins to make it durable. The channel
// receives one result: an error if both places failed. kept reports whether the state outlives the
// process already.
func (a *keptState) save() (saved <-chan error, kept bool) {
	p := a.take()
	keepErr := a.deps.State.Keep(p)
	a.stateKept(p, keepErr)
	if a.saves++; a.saves == 1 {
		a.room.began = time.Now()
	}
	result := make(chan error, 1)
	a.wg.Go(func() {
		err := a.saver.save(p.Number, p)
		result <- bothFailed(keepErr, err)
		a.post(func() {
			a.room.began = time.Now() // the disk has answered
			if a.saves--; a.saves == 0 {
				a.room.began = time.Time{}
			}
			a.stateSaved(p, err)
		})
	})
	return result, keepErr == nil
}

// stateSaved records the result of saving a state.
func (a *keptState) stateSaved(p persisted, err error) {
	if err == nil && p.Number > a.state.Number {
		a.state = p
	}
	if is := errText(err); is != a.room.disk {
		a.room.disk = is
		if err != nil {
			a.log.Error("the state cannot be saved; the runtime folder serves until it can", "err", err)
		} else {
			a.log.Info("the state is saved again")
		}
	}
}

// stateKept records the result of keeping a state in the runtime folder.
func (a *keptState) stateKept(p persisted, err error) {
	if err == nil {
		a.state = p
	}
	if is := errText(err); is != a.room.memory {
		a.room.memory = is
		if err != nil {
			a.log.Error("the state cannot be kept in the runtime folder; the disk serves until it can", "err", err)
		}
	}
}

// durable reports whether the saved state already says that the LIM runs here under a term, so that
// nothing has to be saved before it goes on.
func (a *keptState) durable(l *lim, term uint64) bool {
	p, ok := a.state.LIMs[l.number]
	return ok && p.Active && p.Term == term
}

// savePatience is how long something that must be saved before it is acted on waits for the disk,
// so that callers do not wait for a busy disk. By then the state outlives the process; after a loss
// of power nothing runs here (decision 0032).
const savePatience = 50 * time.Millisecond

// takeState returns the state to be saved.
func (a *Agent) takeState() persisted {
	a.kept.states = max(a.kept.states+1, uint64(time.Now().UnixNano()))
	p := persisted{Version: stateVersion, Number: a.kept.states, Boot: a.cfg.Boot, LIMs: map[int]persistedLIM{}, Seen: map[string]time.Time{},
		Alarms: a.alarms, Conflict: a.docs.conflict, ConflictText: a.docs.conflictText, Former: a.swaps.former, Accepted: a.docs.accepted, Self: a.docs.self, Readied: slices.Collect(maps.Keys(a.swaps.ready)), Formers: map[string][]netip.Addr{}}
	p.Untold = a.sinks.Waiting()
	if a.docs.unreadable() != "" {
		p.Unread = a.docs.unread
	}
	p.Rehearsing, p.Rehearsals = a.rehearsals.underWay(), maps.Clone(a.rehearsals.all)
	for n, l := range a.lims.all {
		p.LIMs[n] = persistedLIM{Term: l.Term, Active: l.State.Active(), Loaded: l.software.up, Since: l.since, Up: l.software.specs,
			Known: l.Known, Flaps: l.Flaps, Suspended: l.Suspended, TookToStart: l.tookToStart, Routes: slices.Clone(l.alias.routes),
			Serving: l.serving, Cause: l.cause, Left: l.left, Split: l.told(time.Now())}
	}
	for name, at := range a.kept.state.Seen {
		p.Seen[name] = at
	}
	p.Programs = map[string]levels.Program{}
	for name, x := range a.peers.all {
		if x.program != (levels.Program{}) {
			p.Programs[name] = x.program
		}
		if x.formers != nil {
			p.Formers[name] = slices.Clone(x.formers)
		}
		if x.Liveness == failover.Alive {
			p.Seen[name] = time.Now().UTC()
		}
	}
	return p
}
