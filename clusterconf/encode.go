package clusterconf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
)

const header = `# The cluster document of this system. mxcluster writes this file on every server;
# comments and order are not kept. Change it by mxcluster's commands or by
# "mxcluster config edit", which checks it before it replaces it.
`

// Encoded is a document that changes no more, beside its canonical form: lists
// sorted, keys in a fixed order, so that equal documents are equal bytes on every
// server. What is stored, sent and compared is passed on as one, so that a document
// is encoded once. To change the document, clone it.
type Encoded struct {
	*Document
	bytes   []byte
	content [2]int // where servers, LIMs and clusters begin and end in bytes
	hash    string
}

// Freeze returns a copy of d with its canonical form.
func Freeze(d *Document) *Encoded {
	e := &Encoded{Document: d.Clone()}
	e.sort()
	w := &writer{buf: make([]byte, 0, 4096)}
	w.buf = append(w.buf, header...)
	w.fields(reflect.ValueOf(e.Document).Elem(), func(key string) {
		switch key {
		case "servers":
			e.content[0] = len(w.buf)
		case "ancestors":
			e.content[1] = len(w.buf)
		}
	})
	e.bytes = w.buf
	sum := sha256.Sum256(e.bytes)
	e.hash = "sha256:" + hex.EncodeToString(sum[:])
	return e
}

// Bytes returns the canonical form, which the caller leaves as it is.
func (e *Encoded) Bytes() []byte { return e.bytes }

// Hash returns "sha256:" and the hex digest of the canonical form.
func (e *Encoded) Hash() string { return e.hash }

// sameContent tells whether two documents say the same of servers, LIMs and clusters, at one level.
func (e *Encoded) sameContent(other *Encoded) bool {
	return e.AtLevel() == other.AtLevel() && bytes.Equal(e.bytes[e.content[0]:e.content[1]], other.bytes[other.content[0]:other.content[1]])
}

// Encode returns the canonical form of a document that may change yet.
func Encode(d *Document) []byte { return Freeze(d).bytes }

// Hash returns the hash of a document that may change yet.
func Hash(d *Document) string { return Freeze(d).hash }

// sort puts the lists into canonical order. The order of services stays: they
// are started in it.
func (d *Document) sort() {
	slices.SortStableFunc(d.Servers, func(a, b Server) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(d.LIMs, func(a, b LIM) int { return cmp.Compare(a.Number, b.Number) })
	for i := range d.LIMs {
		slices.Sort(d.LIMs[i].Gateways)
	}
	slices.SortStableFunc(d.Clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	for i := range d.Clusters {
		slices.SortStableFunc(d.Clusters[i].LIMs, func(a, b Member) int { return cmp.Compare(a.LIM, b.LIM) })
	}
}
