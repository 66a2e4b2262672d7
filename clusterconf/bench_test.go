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

// All of an edit but the writing to disk: the store reads the document, plans
// and reads back what it would write.
func BenchmarkPreview(b *testing.B) {
	s := storeIn(b.TempDir())
	if err := s.Create(b.Context(), large(largestClusters)); err != nil {
		b.Fatal(err)
	}
	edit := func(d *Document) error { return d.ChangeCluster("c001", ChangeSpec{Priorities: map[int]int{1: 5}}) }
	for b.Loop() {
		if result, err := s.Preview(ordered, edit); err != nil || !result.Changed {
			b.Fatal(result, err)
		}
	}
}
