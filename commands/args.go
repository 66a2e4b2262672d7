package commands

import (
	"strconv"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// parseLIM parses a LIM's number.
func parseLIM(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > clusterconf.MaxLIMNumber {
		return 0, fault.New(fault.Usage, "give the number of a LIM, such as 1; 'mxcluster lim list' shows them",
			"%q is not a LIM number", text)
	}
	return n, nil
}

// didYouMean returns a remedy with the nearest of names; otherwise if none is near.
func didYouMean(name string, names []string, otherwise string) string {
	if near := nearest.To(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}
