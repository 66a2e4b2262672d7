package failover

import (
	"time"

	"mxcluster/internal/lineage"
)

// Data describes the newest complete data version of a LIM on one server.
type Data struct {
	Version  string           `json:"version"`
	Newest   time.Time        `json:"newest"`             // newest modification time of its files
	Line     *lineage.Version `json:"line,omitempty"`     // its lineage, abbreviated; nil: not stated
	Conflict bool             `json:"conflict,omitempty"` // a sync found that neither it nor the other side's follows the other
}

// Order returns how the data of one side stand to those of the other. No data are older than any
// data.
func (d *Data) Order(o *Data) lineage.Order {
	switch {
	case d == nil && o == nil:
		return lineage.Same
	case o == nil:
		return lineage.Newer
	case d == nil:
		return lineage.Older
	case d.Line != nil && o.Line != nil:
		return lineage.Compare(d.Line, o.Line)
	case d.Newest.After(o.Newest):
		return lineage.Newer
	case d.Newest.Before(o.Newest):
		return lineage.Older
	case d.Version == o.Version:
		return lineage.Same
	}
	return lineage.Unknown
}

// Replaces reports whether the data differ from was and are not older.
func (d *Data) Replaces(was *Data) bool {
	if d == nil || was != nil && d.Version == was.Version {
		return false
	}
	o := d.Order(was)
	return o != lineage.Older && o != lineage.Same
}
