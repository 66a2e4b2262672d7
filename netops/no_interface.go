package netops

import (
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// NoInterface is the error for an interface that does not exist, with the name
// that was probably meant among those there are.
func NoInterface(ifname string, names []string) error {
	hint := ""
	if len(names) > 0 {
		hint = "this server has " + strings.Join(names, ", ")
	}
	if name := nearest.To(ifname, names); name != "" {
		hint = "did you mean " + name + "?"
	}
	return fault.New(fault.NotFound, hint, "no interface %q", ifname)
}
