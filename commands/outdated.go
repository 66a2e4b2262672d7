package commands

import (
	"context"
	"errors"

	"mxcluster/clusterconf"
	"mxcluster/xdata"
)

// outdated lists the data versions on this server that an edit makes
// incompatible (spec ch. 9, "Configuring and Using Server Redundancy"): of each LIM
// all but the newest complete one. What cannot be seen is no reason not to edit.
func (a *app) outdated(s *server, before, after *clusterconf.Document) []xdata.Version {
	var old []xdata.Version
	for _, lim := range clusterconf.Outdated(before, after) {
		versions, err := s.versions(a.env.Now).List(lim)
		if err != nil {
			a.out.Warn("looking for data versions that no longer fit: %v", err)
		}
		newest := true
		for _, v := range versions {
			if !v.Complete {
				continue
			}
			if !newest {
				old = append(old, v)
			}
			newest = false
		}
	}
	return old
}

// removeOutdated removes what outdated listed, where no agent does that. The edit
// stands whatever becomes of it: the versions are in nobody's way.
func (a *app) removeOutdated(ctx context.Context, s *server, old []xdata.Version) {
	var errs []error
	for i, v := range old {
		if i == 0 || old[i-1].LIM != v.LIM {
			_, err := s.versions(a.env.Now).KeepNewest(ctx, v.LIM)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		a.out.Warn("the document is changed, but data versions that no longer fit were not removed: %v", err)
	}
}
