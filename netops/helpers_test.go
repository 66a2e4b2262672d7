package netops_test

import (
	"net/netip"
	"strings"
	"testing"

	"mxcluster/netops"
)

const eth0 = "eth0"

var (
	base  = netip.MustParsePrefix("10.0.0.21/24")
	alias = netip.MustParsePrefix("10.0.0.11/24")
)

// format writes addresses with a letter each: p for a permanent one, l for a
// lease, upper case for the primary address of its subnet.
func format(addresses []netops.Address) string {
	var all []string
	for _, a := range addresses {
		letter := "l"
		if a.Permanent {
			letter = "p"
		}
		if !a.Secondary {
			letter = strings.ToUpper(letter)
		}
		all = append(all, a.Prefix.String()+letter)
	}
	return strings.Join(all, " ")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
