package xdata

import (
	"fmt"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/wire"
)

// Another program's version that changes after it was copied is newer than its copy,
// whatever the times say. It is copied again, under a name of its own, and takes the place
// of the copies before, which are no version that anybody made.

// grownSince tells which of two versions is the copy of the other, which another program may
// have changed since: that one is newer if the contents differ. Unknown: neither is.
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

// replaces tells whether what arrives is a version of which v is an earlier copy.
func (r *incoming) replaces(v *Version) bool {
	return r.head.Foreign && r.head.Record == nil && v.from == r.head.Name
}

// removeReplaced removes earlier copies of the version that has arrived.
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
