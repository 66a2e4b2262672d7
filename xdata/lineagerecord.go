package xdata

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"mxcluster/internal/lineage"
	"time"
)

// record is what a version says of itself, and how it came about.
type record struct {
	lineage.Version
	MadeAt  time.Time `json:"madeAt,omitzero"`
	Parents int       `json:"parents,omitempty"` // how many of the ancestors are
}

const maxRecord = 32 << 10 // bytes of a record's file

// encode returns the file of a record: what it says in a line, and the hash of that.
func (r *record) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sumOf(b)
	return append(hex.AppendEncode(append(b, '\n'), sum[:]), '\n'), nil
}

// decodeRecord reads the file of a record; nil for one that is none.
func decodeRecord(b []byte) *record {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	is := sumOf(line)
	var r record
	if string(bytes.TrimSpace(sum)) != hex.EncodeToString(is[:]) || json.Unmarshal(line, &r) != nil || r.valid() != nil {
		return nil
	}
	return &r
}

func (r *record) valid() error {
	if r.Parents < 0 || r.Parents > len(r.Ancestors) {
		return violation("a version of %d parents", r.Parents)
	}
	if err := r.Valid(); err != nil {
		return violation("%v", err)
	}
	return nil
}
