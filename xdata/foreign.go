package xdata

import (
	"fmt"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/wire"
)

// A version of another program that changes after it was copied is newer than its copy, whatever
// the times say. It is copied again under a new name and replaces its earlier copies.

// grownSince tells which of two versions is an original that another program may have changed since
// the other was copied from it: the original is newer if the contents differ. Unknown: neither is.
func grownSince(ours, theirs wire.Summary) lineage.Order {
	switch {
	case ours.Name == "" || theirs.Name == "":
	case ours.Foreign && theirs.From == ours.Name:
		return lineage.Newer
	case theirs.Foreign && ours.From == theirs.Name:
		return lineage.Older
	}
	return lineage.Unknown
}

// replaces tells whether v is an earlier copy of the version that arrives.
func (r *incoming) replaces(v *Version) bool {
	return r.head.Foreign && r.head.Record == nil && v.from == r.head.Name
}

// removeReplaced removes the earlier copies of the version that arrived.
func (r *incoming) removeReplaced() error {
	for i := range r.here {
		v := &r.here[i].Version
		if !r.replaces(v) {
			continue
		}
		if err := r.store.remove(*v); err != nil {
			return fmt.Errorf("remove version %s, which was copied before it was complete: %w", v.Name, err)
		}
	}
	return nil
}
