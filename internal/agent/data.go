package agent

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/xdata"
)

// rescan is how often data versions are listed although none was added or removed: another program
// may have completed one.
const rescan = 5 * time.Second

// granularity is that of modification times, on the coarsest disks.
const granularity = 2 * time.Second

// data is the state of the LIMs' data on this server and on the other side. It is owned by the main
// loop.
type data struct {
	*core
	lims  *lims
	peers *peers

	here    map[int]DataHere       // data versions on this server
	newest  map[int]*failover.Data // the newest of them
	syncs   map[int]*limSync
	records map[int]SyncRecord // history of the syncs of LIMs

	looks, shown uint64 // numbers of the last look that was begun, and of the one whose result is in here
}

// look lists the data versions of each LIM, beside the main loop, and closes the channel when that
// is told. What an earlier look finds later is passed over.
func (a *data) look(lims []int, now time.Time) <-chan struct{} {
	clustered := map[int]bool{}
	for _, n := range lims {
		clustered[n] = a.doc.ClusterOfLIM(n) != nil
	}
	a.looks++
	number, told := a.looks, make(chan struct{})
	a.wg.Go(func() {
		found, records := map[int]DataHere{}, map[int]SyncRecord{}
		for _, n := range lims {
			found[n] = a.deps.Data(n)
		}
		for _, n := range lims {
			if a.deps.Synced == nil || !clustered[n] {
				continue
			}
			record, err := a.deps.Synced(n, now)
			if err != nil {
				a.log.Warn("looking for the last sync", "lim", n, "err", err)
			}
			records[n] = record
		}
		a.post(func() {
			if number < a.shown {
				a.nothingNew = true
			} else {
				a.shown = number
				a.found(found, records, time.Now())
			}
			close(told)
		})
	})
	return told
}

// DataHere describes a LIM's data on this server.
type DataHere struct {
	Newest *failover.Data // newest complete version; nil: none
	Path   string         // its folder; "" without

	Damaged []DamagedData // newest first
	Unseen  string        // why the versions cannot be listed, and the rest is from an earlier time; "": they can
}

// DamagedData is a data version that is damaged.
type DamagedData struct {
	Version string
	Why     string
	Newer   bool // newer than the newest complete one, which is used instead
}

// dataFinder finds the newest data version of each LIM. Listing all files is expensive, so it is
// done when a version was added or removed, which changes the folder's modification time, and
// otherwise now and then. A time that is as young as the granularity of times on disks may stand for
// a later change as well. No content is read; the results of verifications, syncs and indexes are
// used.
type dataFinder struct {
	versions *xdata.Store

	mu    sync.Mutex
	found map[int]foundData
}

type foundData struct {
	here   DataHere
	folder time.Time // modification time of the folder of versions
	notes  time.Time // that of the folder of notes of a store that is read-only
	at     time.Time
}

// newest describes a LIM's data on this server.
func (f *dataFinder) newest(lim int) DataHere {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	is := foundData{folder: changedAt(f.versions.Dir), notes: changedAt(f.versions.Notes), at: now}
	was, ok := f.found[lim]
	if ok && was.here.Unseen == "" && was.folder.Equal(is.folder) && was.notes.Equal(is.notes) && was.settled() && now.Sub(was.at) < rescan {
		return was.here
	}
	st, err := f.versions.Status(lim)
	is.here = choose(&st)
	if err != nil {
		is.here = was.here.unseen(err)
	}
	if f.found == nil {
		f.found = map[int]foundData{}
	}
	f.found[lim] = is
	return is.here
}

// changedAt is the modification time of a folder; zero without one.
func changedAt(folder string) time.Time {
	info, err := os.Stat(folder)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// settled reports whether what changed after it was found has another time.
func (f *foundData) settled() bool {
	return f.at.Sub(f.folder) > granularity && f.at.Sub(f.notes) > granularity
}

// choose selects the version that software starts on, the newest intact one, and lists the damaged
// ones.
func choose(st *xdata.Status) (d DataHere) {
	if v := st.Newest; v != nil {
		brief := st.Line.Brief()
		d.Newest, d.Path = &failover.Data{Version: v.Name, Newest: v.NewestMtime.UTC(), Line: &brief, Conflict: st.Conflict}, v.Path
	}
	newer := true
	for _, v := range st.Versions {
		newer = newer && !v.Complete
		if v.Damage != "" {
			d.Damaged = append(d.Damaged, DamagedData{Version: v.Name, Why: v.Damage, Newer: newer})
		}
	}
	return d
}

// unseen is the result when the versions cannot be listed: the version found before, if its folder
// still exists.
func (d DataHere) unseen(err error) DataHere {
	if info, bad := os.Stat(d.Path); bad != nil || !info.IsDir() {
		d.Newest, d.Path = nil, ""
	}
	d.Unseen = err.Error()
	return d
}

// starts words which version software is started on, and why not on a newer one; "": there is no
// newer one.
func (d DataHere) starts() string {
	on := "without any data"
	if d.Newest != nil {
		on = "on the data version " + d.Newest.Version
	}
	if d.Unseen != "" {
		return fmt.Sprintf("%s: %s", on, d.Unseen)
	}
	i := slices.IndexFunc(d.Damaged, func(x DamagedData) bool { return x.Newer })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%s: the newer %s is damaged: %s", on, d.Damaged[i].Version, d.Damaged[i].Why)
}

// names returns the damaged versions for the claim.
func (d DataHere) names() (names []string) {
	for _, x := range d.Damaged[:min(len(d.Damaged), maxDamaged)] {
		names = append(names, x.Version)
	}
	return names
}

// maxDamaged bounds that list.
const maxDamaged = 8

// whyHere returns the reason for a LIM's state, with the data version it was started on if that is
// not the newest.
func (l *lim) whyHere() string {
	if l.software.passedOver == "" || !l.State.Active() && !l.alias.passive() {
		return l.reason
	}
	return l.reason + "; started " + l.software.passedOver
}

// removeOutdated removes the data versions that a new document makes incompatible (spec ch. 9),
// beside the main loop.
func (a *data) removeOutdated(old, d *clusterconf.Document) {
	if old == nil {
		return
	}
	for _, lim := range clusterconf.Outdated(old, d) {
		a.wg.Go(func() {
			switch removed, err := a.deps.Prune(a.ctx, lim); {
			case err != nil:
				a.log.Error("removing data versions that no longer fit", "lim", lim, "err", err)
			case removed > 0:
				a.log.Info("removed data versions that no longer fit", "lim", lim, "versions", removed)
			}
		})
	}
}
