package clusterconf

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

const header = `# The cluster document of this system. mxcluster writes this file on every server;
# comments and order are not kept. Change it by mxcluster's commands or by
# "mxcluster config edit", which checks it before it replaces it.
`

// Encode returns the canonical YAML form of d: lists sorted, keys in a fixed
// order, so that equal documents are equal bytes on every server.
func Encode(d *Document) []byte {
	c := d.Clone()
	c.sort()
	w := &writer{buf: make([]byte, 0, 4096)}
	w.buf = append(w.buf, header...)
	w.document(c)
	return w.buf
}

// Hash returns "sha256:" and the hex digest of the canonical form.
func Hash(d *Document) string {
	sum := sha256.Sum256(Encode(d))
	return "sha256:" + hex.EncodeToString(sum[:])
}

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
