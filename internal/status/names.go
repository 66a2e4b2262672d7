package status

import (
	"cmp"
	"slices"
	"strings"
)

// CompareNames orders names as people count: srv2 is before srv10.
func CompareNames(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		var partX, partY string
		numbers := digits(x) > 0 && digits(y) > 0
		if numbers {
			partX, partY = x[:digits(x)], y[:digits(y)]
			x, y = x[len(partX):], y[len(partY):]
			partX, partY = strings.TrimLeft(partX, "0"), strings.TrimLeft(partY, "0")
		} else {
			partX, partY = x[:1], y[:1]
			x, y = x[1:], y[1:]
		}
		byLength := 0
		if numbers {
			byLength = cmp.Compare(len(partX), len(partY))
		}
		if c := cmp.Or(byLength, strings.Compare(partX, partY)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits is how many of them a text begins with.
func digits(text string) int {
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	return n
}

// sort puts clusters, LIMs and servers in the order of their names and numbers.
func (s *ClusterStatus) sort() {
	byNumber := func(a, b StatusLIM) int { return a.LIM - b.LIM }
	slices.SortFunc(s.Unclustered, byNumber)
	slices.SortFunc(s.Clusters, func(a, b StatusCluster) int { return CompareNames(a.Name, b.Name) })
	for i := range s.Clusters {
		slices.SortFunc(s.Clusters[i].LIMs, byNumber)
		slices.SortFunc(s.Clusters[i].Servers, func(a, b StatusServer) int { return CompareNames(a.Name, b.Name) })
	}
}
