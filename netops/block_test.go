package netops

import (
	"net/netip"
	"testing"

	"mxcluster/internal/fault"
)

func TestBlockName(t *testing.T) {
	for _, tc := range []struct{ ifname, addr, name string }{
		{"eth0", "10.0.0.11", "mxcluster-10.0.0.11-eth0"},
		{"bond0.12", "10.0.0.11", "mxcluster-10.0.0.11-bond0.12"},
		{"my-if", "fd00::11", "mxcluster-fd000000000000000000000000000011-my-if"},
	} {
		addr := netip.MustParseAddr(tc.addr)
		if got := blockName(tc.ifname, addr); got != tc.name {
			t.Errorf("%s on %s: %s, want %s", tc.addr, tc.ifname, got, tc.name)
		}
		if ifname, back, ok := parseBlockName(tc.name); !ok || ifname != tc.ifname || back != addr {
			t.Errorf("%s: read as %s on %s (%v)", tc.name, back, ifname, ok)
		}
	}
	for _, name := range []string{"", "filter", "mxcluster", "mxcluster-", "mxcluster-10.0.0.11", "mxcluster-10.0.0.11-", "mxcluster-x-eth0", "mxcluster-0a00000b-eth0"} {
		if ifname, addr, ok := parseBlockName(name); ok {
			t.Errorf("%q: read as %s on %s", name, addr, ifname)
		}
	}
}

func TestNotBlockable(t *testing.T) {
	for _, addr := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:10.0.0.1")} {
		if err := CheckBlockable(addr); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
