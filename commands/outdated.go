package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mxcluster/clusterconf"
	"mxcluster/xdata"
)

// outdated returns the data versions on this server that an edit makes incompatible (spec ch. 9,
// "Configuring and Using Server Redundancy"): those removed with it, and those removed once both
// sides have a newer one. Errors are ignored, as they are no reason against the edit.
func (s *server) outdated(before, after *clusterconf.Document) (gone, waiting []xdata.Version) {
	store := s.versionsAfter(after)
	for _, lim := range clusterconf.Outdated(before, after) {
		old, later, err := store.Incompatible(lim)
		if err != nil {
			s.out.Warn("looking for data versions that no longer fit: %v", err)
		}
		gone, waiting = append(gone, old...), append(waiting, later...)
	}
	return gone, waiting
}

// versionsAfter returns the store of versions by the document that is about to be in force.
func (s *server) versionsAfter(doc *clusterconf.Document) *xdata.Store {
	store := s.versions()
	store.Paired = func(lim int) bool { return doc.ClusterOfLIM(lim) != nil }
	return store
}

// removeOutdated removes incompatible versions where no agent does. A failure does not affect the
// edit.
func (s *server) removeOutdated(ctx context.Context, before, after *clusterconf.Document) {
	var errs []error
	store := s.versionsAfter(after)
	for _, lim := range clusterconf.Outdated(before, after) {
		if versions, err := store.List(lim); err == nil && len(versions) > 0 { // else a folder would be created
			_, err = store.KeepNewest(ctx, lim)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.out.Warn("the document is changed, but data versions that no longer fit were not removed: %v", err)
	}
}

// outdatedElsewhere returns what is to be done on other servers without agents.
func outdatedElsewhere(before, after *clusterconf.Document, me string) []string {
	lims := map[string][]int{}
	for _, lim := range clusterconf.Outdated(before, after) {
		for _, name := range sidesOf(lim, before) {
			if name != me {
				lims[name] = append(lims[name], lim)
			}
		}
	}
	var left []string
	for _, name := range slices.Sorted(maps.Keys(lims)) {
		var lines []string
		for _, lim := range lims[name] {
			lines = append(lines, fmt.Sprintf("mxcluster xdata prune --lim %d --keep 1", lim))
		}
		left = append(left, fmt.Sprintf("on %s: %s; its agent does so by itself when it hears of this, as does the next sync", name, strings.Join(lines, "; ")))
	}
	return left
}

// sidesOf returns the servers that may have versions of a LIM.
func sidesOf(lim int, doc *clusterconf.Document) (names []string) {
	if r := doc.RegularOf(lim); r != nil {
		names = append(names, r.Name)
	}
	if c := doc.ClusterOfLIM(lim); c != nil {
		names = append(names, c.Standby)
	}
	return names
}
