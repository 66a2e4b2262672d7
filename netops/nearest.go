package netops

import (
	"strings"

	"mxcluster/internal/fault"
)

// noInterface is the error for an interface that does not exist, with the name
// that was probably meant among those there are.
func noInterface(ifname string, names []string) error {
	hint := ""
	if len(names) > 0 {
		hint = "this server has " + strings.Join(names, ", ")
	}
	if name, ok := nearest(ifname, names); ok {
		hint = "did you mean " + name + "?"
	}
	return fault.New(fault.NotFound, hint, "no interface %q", ifname)
}

// nearest returns the name that differs least from wanted, if it is near
// enough for a slip of the keyboard.
func nearest(wanted string, names []string) (string, bool) {
	const slip = 2
	best, least := "", slip+1
	for _, name := range names {
		if d := distance(wanted, name); d < least {
			best, least = name, d
		}
	}
	return best, least <= slip && least < len(wanted)
}

// distance is the number of characters to insert, delete or replace to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
