package netfiles_test

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"mxcluster/internal/netfiles"
)

func TestFind(t *testing.T) {
	const networkd, nm, interfaces = "etc/systemd/network/10-eth0.network", "etc/NetworkManager/system-connections/eth0.nmconnection", "etc/network/interfaces"
	for _, tc := range []struct {
		name, file, text string
		want             string // tool and line; "": nothing
	}{
		{"networkd", networkd, "[Match]\nName=eth0\n[Network]\nAddress=10.66.0.21/24\nAddress=10.66.0.1/24\n", "systemd-networkd 5"},
		{"networkd, a section of its own", networkd, "[Address]\nAddress = 10.66.0.1/32\n", "systemd-networkd 2"},
		{"networkd, a drop-in", "etc/systemd/network/10-eth0.network.d/more.conf", "[Network]\nAddress=10.66.0.1/24", "systemd-networkd 2"},
		{"networkd, as gateway", networkd, "[Network]\nGateway=10.66.0.1\nDNS=10.66.0.1", ""},
		{"networkd, in a comment", networkd, "#Address=10.66.0.1/24\n;Address=10.66.0.1/24", ""},
		{"networkd, an address that begins so", networkd, "[Network]\nAddress=10.66.0.11/24\nAddress=110.66.0.1/24", ""},
		{"NetworkManager", nm, "[ipv4]\naddress1=10.66.0.21/24,10.66.0.254\naddress2=10.66.0.1/24\n", "NetworkManager 3"},
		{"NetworkManager, as gateway", nm, "[ipv4]\naddress1=10.66.0.21/24,10.66.0.1\n", ""},
		{"ifcfg", "etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nIPADDR=\"10.66.0.1\"\nPREFIX=24", "NetworkManager 2"},
		{"ifcfg, a second one", "etc/sysconfig/network-scripts/ifcfg-eth0", "IPADDR1=10.66.0.1", "NetworkManager 1"},
		{"ifupdown", interfaces, "auto eth0\niface eth0 inet static\n\taddress 10.66.0.1/24\n", "ifupdown 3"},
		{"ifupdown, no length", "etc/network/interfaces.d/eth0", "iface eth0 inet static\n  address 10.66.0.1\n  netmask 255.255.255.0", "ifupdown 2"},
		{"ifupdown, by a command", interfaces, "iface eth0 inet static\n post-up ip addr add 10.66.0.1/24 dev eth0", "ifupdown 2"},
		{"ifupdown, as route and gateway", interfaces, "iface eth0 inet static\n gateway 10.66.0.1\n post-up ip route add 203.0.113.0/24 via 10.66.0.1", ""},
		{"netplan", "etc/netplan/01.yaml", "network:\n  ethernets:\n    eth0:\n      addresses: [10.66.0.21/24, 10.66.0.1/24]\n", "netplan 4"},
		{"netplan, a list", "etc/netplan/01.yaml", "addresses:\n- \"10.66.0.1/24\"", "netplan 2"},
		{"netplan, as gateway", "etc/netplan/01.yaml", "routes:\n- to: default\n  via: 10.66.0.1\n  gateway4: 10.66.0.1", ""},
		{"cloud-init", "etc/netplan/50-cloud-init.yaml", "addresses:\n- 10.66.0.1/24", "cloud-init 2"},
		{"cloud-init's own", "etc/cloud/cloud.cfg.d/99-net.cfg", "network:\n  config:\n  - {type: static, address: 10.66.0.1/24}", "cloud-init 3"},
		{"wicked", "etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='10.66.0.21/24'\nIPADDR_1='10.66.0.1/24'\n", "wicked 3"},
		{"wicked, of a tunnel's far end", "etc/sysconfig/network/ifcfg-eth0", "REMOTE_IPADDR='10.66.0.1'\n", ""},
		{"wicked, its own file", "etc/wicked/ifconfig/eth0.xml", "<ipv4:static>\n <address>\n  <local>10.66.0.1/24</local>\n", "wicked 3"},
		{"another program's", "etc/hosts", "10.66.0.1 exchange", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all, err := netfiles.Find(fstest.MapFS{tc.file: {Data: []byte(tc.text)}}, netip.MustParseAddr("10.66.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range all {
				got = strings.TrimSpace(fmt.Sprint(got, " ", f.Tool, " ", f.Line))
				if f.File != "/"+tc.file || !strings.Contains(f.String(), f.File) || f.Remedy == "" {
					t.Errorf("%+v", f)
				}
			}
			if got != tc.want {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFindIPv6(t *testing.T) {
	root := fstest.MapFS{
		"etc/systemd/network/a.network": {Data: []byte("Address=2001:DB8:0::11/64")},
		"etc/netplan/a.yaml":            {Data: []byte("addresses:\n  - 2001:db8::11/64:\n      label: x")},
	}
	all, err := netfiles.Find(root, netip.MustParseAddr("2001:db8::11"))
	if err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}

// A file that cannot be read, a folder in the place of one, or a very large file, does
// not hide the others.
func TestFindBesideWhatCannotBeRead(t *testing.T) {
	root := fstest.MapFS{
		"etc/netplan/a.yaml/dir": {Data: []byte("x")},
		"etc/netplan/big.yaml":   {Data: make([]byte, 1<<20)},
		"etc/netplan/z.yaml":     {Data: []byte("- 10.66.0.1/24")},
		"etc/network/interfaces": {Mode: fs.ModeNamedPipe},
	}
	all, err := netfiles.Find(root, netip.MustParseAddr("10.66.0.1"))
	if len(all) != 1 || all[0].File != "/etc/netplan/z.yaml" {
		t.Errorf("%v, %v", all, err)
	}
}
