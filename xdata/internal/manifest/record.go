package manifest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/chunk"
)

// Record is what a version says of itself, in a file inside it: its identity and its ancestors.
type Record struct {
	lineage.Version
	MadeAt  time.Time `json:"madeAt,omitzero"`
	Parents int       `json:"parents,omitempty"` // how many of the ancestors, from the first on, are parents

	// was is the JSON that it was read from, or nil: copies of a version keep what a later
	// version of the program said in its record. A record that was read is not changed.
	was []byte
}

// MaxRecord is the largest size of a record's file, in bytes.
const MaxRecord = 32 << 10

// plainRecord is a record without methods of its own.
type plainRecord Record

// MarshalJSON encodes a record, one that was read as it was.
func (r *Record) MarshalJSON() ([]byte, error) {
	if r.was != nil {
		return r.was, nil
	}
	return json.Marshal((*plainRecord)(r))
}

// UnmarshalJSON decodes a record, and keeps what of it is not known.
func (r *Record) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*plainRecord)(r)); err != nil {
		return err
	}
	r.was = bytes.Clone(b)
	return nil
}

// Encode returns the file of a record: a line of JSON, and its hash.
func (r *Record) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := chunk.Sum(b)
	return append(hex.AppendEncode(append(b, '\n'), sum[:]), '\n'), nil
}

// DecodeRecord decodes the file of a record; nil if it is invalid.
func DecodeRecord(b []byte) *Record {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	is := chunk.Sum(line)
	var r Record
	if string(bytes.TrimSpace(sum)) != hex.EncodeToString(is[:]) || json.Unmarshal(line, &r) != nil || r.Valid() != nil {
		return nil
	}
	return &r
}

// Valid checks a record that a peer sent.
func (r *Record) Valid() error {
	if r.Parents < 0 || r.Parents > len(r.Ancestors) {
		return Violation("a version of %d parents", r.Parents)
	}
	if len(r.was) > MaxRecord/2 {
		return Violation("a version's record of %d bytes", len(r.was))
	}
	if err := r.Version.Valid(); err != nil {
		return Violation("%v", err)
	}
	return nil
}
