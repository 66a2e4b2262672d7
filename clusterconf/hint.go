package clusterconf

import "mxcluster/internal/nearest"

// didYouMean returns the hint for a mistyped name, or otherwise when nothing is near.
func didYouMean(name string, candidates []string, otherwise string) string {
	if near := nearest.To(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}
