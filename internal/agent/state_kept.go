package agent

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/failover"
)

// keptState is what of this server's state outlives the process, and how keeping it goes.
type keptState struct {
	*core
	take func() persisted // the state as it is now

	state   persisted // as it was kept last
	saver   saver
	states  uint64    // number of the last state taken
	saves   int       // that are under way
	saving  bool      // the state, beside the main loop
	savedAt time.Time // when that was begun last for what was heard
	unsaved bool      // something was heard that a later run should know
	room    room
	lost    string // why the state of the last run could not be read; "": it could
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

// saveBegin begins to save what must be before it is acted on, and returns how to wait
// for that. The main loop does not wait for it: what is done meanwhile, such as asking
// whether an alias is free, and telling others that it is, goes on.
func (a *keptState) saveBegin() (wait func() error) {
	began := time.Now()
	saved, kept := a.save()
	return func() error {
		if !kept {
			return <-saved // what is in neither place is not acted on
		}
		select {
		case err := <-saved:
			return err
		case <-time.After(savePatience - time.Since(began)):
		}
		select { // both may have been there
		case err := <-saved:
			return err
		default:
		}
		a.log.Warn("the disk is slow: going on before the state is on it", "waited", savePatience)
		return nil
	}
}

// saveBeside saves what is known. Nothing waits for the disk: a slow one must not keep
// the main loop from renewing leases.
func (a *keptState) saveBeside() {
	a.saving = true
	saved, _ := a.save()
	a.wg.Go(func() {
		<-saved //nolint:errcheck // stateSaved tells what came of it
		a.post(func() { a.saving = false })
	})
}

// save keeps the state, so that it outlives the process, and begins to make it durable.
// The channel gets one result: an error where neither place took it. kept says whether
// the state outlives the process already.
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
			a.room.began = time.Now() // the disk answers
			if a.saves--; a.saves == 0 {
				a.room.began = time.Time{}
			}
			a.stateSaved(p, err)
		})
	})
	return result, keepErr == nil
}

// stateSaved notes how saving a state went.
func (a *keptState) stateSaved(p persisted, err error) {
	if err == nil && p.Number > a.state.Number {
		a.state = p
	}
	if is := words(err); is != a.room.disk {
		a.room.disk = is
		if err != nil {
			a.log.Error("the state cannot be saved; the runtime folder serves until it can", "err", err)
		} else {
			a.log.Info("the state is saved again")
		}
	}
}

// stateKept notes how keeping a state in the runtime folder went.
func (a *keptState) stateKept(p persisted, err error) {
	if err == nil {
		a.state = p
	}
	if is := words(err); is != a.room.memory {
		a.room.memory = is
		if err != nil {
			a.log.Error("the state cannot be kept in the runtime folder; the disk serves until it can", "err", err)
		}
	}
}

// durable reports whether what is known of a LIM says already that it runs here
// under a term: then nothing new has to be kept before it goes on.
func (a *keptState) durable(l *lim, term uint64) bool {
	p, ok := a.state.LIMs[l.number]
	return ok && p.Active && p.Term == term
}

// savePatience is how long something that must be saved before it is acted on waits
// for the disk: callers do not wait for a server's log or backup to be written. The
// state is kept by then, and a server whose power goes runs nothing (decision 0032).
const savePatience = 50 * time.Millisecond

// takeState is what must outlive the process, as it is now.
func (a *Agent) takeState() persisted {
	a.kept.states = max(a.kept.states+1, uint64(time.Now().UnixNano()))
	p := persisted{Version: stateVersion, Number: a.kept.states, Boot: a.cfg.Boot, LIMs: map[int]persistedLIM{}, Seen: map[string]time.Time{},
		Alarms: a.alarms, Conflict: a.docs.conflict, ConflictText: a.docs.conflictText, Former: a.swaps.former, Accepted: a.docs.accepted, Self: a.docs.self, Readied: slices.Collect(maps.Keys(a.swaps.ready)), Formers: map[string][]netip.Addr{}}
	p.Untold = a.sinks.Waiting()
	p.Rehearsing, p.Rehearsals = a.rehearsals.underWay(), maps.Clone(a.rehearsals.all)
	for n, l := range a.lims.all {
		p.LIMs[n] = persistedLIM{Term: l.Term, Active: l.State.Active(), Loaded: l.software.up, Since: l.since, Up: l.software.specs,
			Known: l.Known, Flaps: l.Flaps, Suspended: l.Suspended, TookToStart: l.tookToStart, Routes: slices.Clone(l.alias.routes)}
	}
	for name, at := range a.kept.state.Seen {
		p.Seen[name] = at
	}
	for name, x := range a.peers.all {
		if x.formers != nil {
			p.Formers[name] = slices.Clone(x.formers)
		}
		if x.Liveness == failover.Alive {
			p.Seen[name] = time.Now().UTC()
		}
	}
	return p
}
