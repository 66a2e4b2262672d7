package clusterconf

import "testing"

// The largest system the product is made for: 124 clusters, 248 servers.
const largestClusters = 124

func BenchmarkParse(b *testing.B) { // Validate included
	data := Encode(large(largestClusters))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("large.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	d := large(largestClusters)
	for b.Loop() {
		if found := Validate(d); found != nil {
			b.Fatal(found)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	d := large(largestClusters)
	for b.Loop() {
		Encode(d)
	}
}
