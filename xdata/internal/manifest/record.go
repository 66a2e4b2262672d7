package manifest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/chunk"
)

// Record is what a version says of itself, and how it came about.
type Record struct {
	lineage.Version
	MadeAt  time.Time `json:"madeAt,omitzero"`
	Parents int       `json:"parents,omitempty"` // how many of the ancestors are
}

// MaxRecord is the most bytes that the file of a record has.
const MaxRecord = 32 << 10 // bytes of a record's file

// Encode returns the file of a record: what it says in a line, and the hash of that.
func (r *Record) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := chunk.Sum(b)
	return append(hex.AppendEncode(append(b, '\n'), sum[:]), '\n'), nil
}

// DecodeRecord reads the file of a record; nil for one that is none.
func DecodeRecord(b []byte) *Record {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	is := chunk.Sum(line)
	var r Record
	if string(bytes.TrimSpace(sum)) != hex.EncodeToString(is[:]) || json.Unmarshal(line, &r) != nil || r.Valid() != nil {
		return nil
	}
	return &r
}

// Valid makes sure that a record is one, as one of a peer need not be.
func (r *Record) Valid() error {
	if r.Parents < 0 || r.Parents > len(r.Ancestors) {
		return Violation("a version of %d parents", r.Parents)
	}
	if err := r.Version.Valid(); err != nil {
		return Violation("%v", err)
	}
	return nil
}
