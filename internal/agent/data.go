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

// rescan is how often data versions are looked through although none came or
// went: another program may have finished writing one.
const rescan = 5 * time.Second

// data is what this server has of the data of its LIMs, and how that stands towards the
// other side. It is of the main loop.
type data struct {
	*core
	lims  *lims
	peers *peers

	here    map[int]DataHere       // data versions on this server
	newest  map[int]*failover.Data // the newest of them
	syncs   map[int]*limSync
	records map[int]SyncRecord // what is remembered of the syncs of LIMs
}

// look finds the newest data version of each LIM, beside the main loop.
func (a *data) look(lims []int, now time.Time) {
	clustered := map[int]bool{}
	for _, n := range lims {
		clustered[n] = a.doc.ClusterOfLIM(n) != nil
	}
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
		a.post(func() { a.found(found, records, time.Now()) })
	})
}

// DataHere is what a server has of a LIM's data.
type DataHere struct {
	Newest *failover.Data // newest complete version; nil: there is none
	Path   string         // its folder; "" without

	Damaged []DamagedData // newest first
	Unseen  string        // why the versions cannot be looked at, and the rest is of an earlier look; "": they can
}

// DamagedData is a version that cannot be relied on.
type DamagedData struct {
	Version string
	Why     string
	Newer   bool // than the newest complete one, in whose place it would be
}

// dataFinder finds the newest data version of each LIM. Looking through all files
// costs, so it is done when a version came or went, which shows in the folder's
// modification time, and else from time to time. No content is read: what verify, sync
// and the index say of it is known.
type dataFinder struct {
	versions *xdata.Store

	mu    sync.Mutex
	found map[int]foundData
}

type foundData struct {
	here   DataHere
	folder time.Time // modification time of the folder of versions
	at     time.Time
}

// newest tells what there is of a LIM's data on this server.
func (f *dataFinder) newest(lim int) DataHere {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var folder time.Time
	if info, err := os.Stat(f.versions.Dir); err == nil {
		folder = info.ModTime()
	}
	was, ok := f.found[lim]
	if ok && was.here.Unseen == "" && was.folder.Equal(folder) && now.Sub(was.at) < rescan {
		return was.here
	}
	st, err := f.versions.Status(lim)
	is := foundData{here: choose(&st), folder: folder, at: now}
	if err != nil {
		is.here = was.here.unseen(err)
	}
	if f.found == nil {
		f.found = map[int]foundData{}
	}
	f.found[lim] = is
	return is.here
}

// choose tells what software starts on, the newest version that can be read as far as is
// known, and which ones cannot.
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

// unseen is what is left to rely on when the versions cannot be looked at any more: what
// was there before, if its folder still is.
func (d DataHere) unseen(err error) DataHere {
	if info, bad := os.Stat(d.Path); bad != nil || !info.IsDir() {
		d.Newest, d.Path = nil, ""
	}
	d.Unseen = err.Error()
	return d
}

// starts says on which data software is started, and why not on newer data; "" when there is
// none that is newer.
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

// names are those of the damaged versions, as far as others are to know.
func (d DataHere) names() (names []string) {
	for _, x := range d.Damaged[:min(len(d.Damaged), maxDamaged)] {
		names = append(names, x.Version)
	}
	return names
}

// maxDamaged keeps what is said of a LIM short.
const maxDamaged = 8

// whyHere is the reason for a LIM's state, and on which data it was started if not on the newest.
func (l *lim) whyHere() string {
	if l.software.passedOver == "" || !l.State.Active() && !l.alias.passive() {
		return l.reason
	}
	return l.reason + "; started " + l.software.passedOver
}

// removeOutdated removes the data versions that a new document makes
// incompatible (spec ch. 9), beside the main loop.
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
