package agent

import (
	"os"
	"sync"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/xdata"
)

// rescan is how often data versions are looked through although none came or
// went: another program may have finished writing one.
const rescan = 5 * time.Second

// dataFinder finds the newest data version of each LIM. Looking through all files
// costs, so it is done when a version came or went, which shows in the folder's
// modification time, and else from time to time.
type dataFinder struct {
	versions *xdata.Store

	mu    sync.Mutex
	found map[int]foundData
}

type foundData struct {
	data   *failover.Data
	path   string
	folder time.Time // modification time of the folder of versions
	at     time.Time
}

// newest names the newest complete data version of a LIM on this server; nil
// when there is none.
func (f *dataFinder) newest(lim int) (*failover.Data, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var folder time.Time
	if info, err := os.Stat(f.versions.Dir); err == nil {
		folder = info.ModTime()
	}
	if was, ok := f.found[lim]; ok && was.folder.Equal(folder) && now.Sub(was.at) < rescan {
		return was.data, was.path, nil
	}
	st, err := f.versions.Standing(lim)
	if err != nil {
		return nil, "", err
	}
	is := foundData{folder: folder, at: now}
	if v := st.Newest; v != nil {
		brief := st.Line.Brief()
		is.data, is.path = &failover.Data{Version: v.Name, Newest: v.NewestMtime.UTC(), Line: &brief, Conflict: st.Conflict}, v.Path
	}
	if f.found == nil {
		f.found = map[int]foundData{}
	}
	f.found[lim] = is
	return is.data, is.path, nil
}
