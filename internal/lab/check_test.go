//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) { runScenario(t, "check", program(t)) }

// finding is one point of `mxcluster check -o json`.
type finding struct{ Name, Server, Verdict, Measured string }

// checkOf runs `mxcluster check` on a server, and returns what is not ok.
func (x *site) checkOf(ctx context.Context, s *Server) (bad []finding, all int, err error) {
	r, err := s.Run(ctx, nil, "mxcluster", "check", "-o", "json")
	if err != nil {
		return nil, 0, err
	}
	var report struct{ Findings []finding }
	if err := json.Unmarshal(r.Out, &report); err != nil {
		return nil, 0, fmt.Errorf("code %d, %s%s: %w", r.Code, r.Out, r.Err, err)
	}
	for _, f := range report.Findings {
		// The clock is this machine's: what keeps it is not the lab's.
		if f.Verdict != "ok" && f.Name != "time-service" {
			bad = append(bad, f)
		}
	}
	return bad, len(report.Findings), nil
}

// checkEnv, if set, has the test plant every fault by itself, too; it takes some minutes.
const checkEnv = "MXCLUSTER_TEST_CHECK"

// planted is a fault of a server.
type planted struct {
	on   *Server
	how  string   // for sh, in the server's folder
	heal string   // the same, to end it
	what []string // VERDICT NAME SERVER of the findings that are to follow
	also []string // of those that may: what else is true then
	few  bool     // planted without checkEnv, together with others
}

// sh runs a script in a server's folder.
func (x *site) sh(ctx context.Context, s *Server, script string) error {
	r, err := s.Run(ctx, nil, "sh", "-c", "set -e; cd '"+s.Dir()+"'; "+script)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("code %d: %s%s", r.Code, r.Out, r.Err)
	}
	if err != nil {
		return fmt.Errorf("on %s, %s: %w", s.Name, script, err)
	}
	return nil
}

// layered puts a layer over /etc of a server, for files of tools that this machine need not have.
const layered = "mkdir run/layer && mount -t tmpfs none run/layer && mkdir run/layer/up run/layer/work && mount -t overlay -o lowerdir=/etc,upperdir=run/layer/up,workdir=run/layer/work none /etc"

// plantable lists faults. The servers' bases are 192.0.2.21, .22 and .31, the aliases .11 and .12.
func (x *site) plantable() []planted {
	const dev = serverInterface
	// A file of the server's network configuration that brings the alias of LIM 1 up.
	file := func(few bool, path, text string) planted {
		return planted{x.srv1, "mkdir -p \"$(dirname " + path + ")\" && if [ -e " + path + " ]; then cp " + path + " run/was; fi; printf '" + text + "' >>" + path,
			"if [ -e run/was ]; then mv run/was " + path + "; else rm " + path + "; fi", []string{"warning network-configuration srv1"}, nil, few}
	}
	drop := func(few bool, on *Server, rule, what string) planted {
		return planted{on, "nft 'add table inet firewall; add chain inet firewall in { type filter hook input priority 0; }; add rule inet firewall in " + rule + " drop'", "nft delete table inet firewall", []string{what}, nil, few}
	}
	setting := func(few bool, s *Server, name, bad, good, what string) planted {
		return planted{s, "sysctl -qw net.ipv4.conf." + dev + "." + name + "=" + bad, "sysctl -qw net.ipv4.conf." + dev + "." + name + "=" + good, []string{what}, nil, few}
	}
	edited := func(few bool, s *Server, how, what string) planted {
		return planted{s, "cp etc/mxcluster.yaml run/settings; " + how, "cp run/settings etc/mxcluster.yaml", []string{what}, []string{"warning settings " + s.Name}, few}
	}
	fullDisk := func(s *Server) planted {
		return planted{s, "mkdir -p state/xdata && mount -t tmpfs -o size=50m none state/xdata", "umount state/xdata", []string{"failed disk " + s.Name}, nil, false}
	}
	unheard := drop(false, x.srv1, "ip saddr 192.0.2.22 udp dport 7946", "failed gossip-udp srv1")
	unheard.also = []string{"unknown witness srv1"} // it hears one other server, and no gateway
	exchange := "'" + x.Dir + "/exchange'"
	return []planted{
		setting(true, x.srv2, "promote_secondaries", "0", "1", "failed promote-secondaries srv2"),
		setting(false, x.srv2, "drop_gratuitous_arp", "1", "0", "failed neighbours srv2"),
		setting(false, x.standby, "arp_ignore", "8", "0", "failed neighbours sb1"),
		{x.srv2, "ip link set " + dev + " mtu 1400", "ip link set " + dev + " mtu 1500", []string{"failed segment sb1", "failed segment srv1"}, nil, true},
		{x.srv2, "chmod 644 etc/gossip.key", "chmod 600 etc/gossip.key", []string{"failed gossip-key srv2"}, nil, true},
		file(true, "/etc/systemd/network/x.network", `[Network]\nAddress=192.0.2.11/24\n`),
		file(false, "/etc/systemd/network/y.network.d/more.conf", `[Network]\nAddress=192.0.2.11/24\n`),
		file(false, "/etc/netplan/01-x.yaml", `network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.21/24, 192.0.2.11/24]\n`),
		file(false, "/etc/cloud/cloud.cfg.d/99-x.cfg", `network:\n  config:\n  - {type: static, address: 192.0.2.11/24}\n`),
		file(false, "/etc/network/interfaces", `\niface eth0 inet static\n  address 192.0.2.11/24\n`),
		file(false, "/etc/network/interfaces.d/x", `iface eth0 inet static\n  up ip address add 192.0.2.11/24 dev eth0\n`),
		file(false, "/etc/NetworkManager/system-connections/x.nmconnection", `[ipv4]\naddress1=192.0.2.21/24\naddress2=192.0.2.11/24\n`),
		file(false, "/etc/sysconfig/network-scripts/ifcfg-eth0", `IPADDR=192.0.2.21\nIPADDR1=192.0.2.11\n`),
		file(false, "/etc/sysconfig/network/ifcfg-eth0", `IPADDR=192.0.2.21/24\nIPADDR_1=192.0.2.11/24\n`),
		drop(true, x.standby, "ip saddr 192.0.2.21 tcp dport 7946", "failed gossip-tcp srv1"),
		drop(false, x.srv2, "ip saddr 192.0.2.31 tcp dport 7946", "failed gossip-tcp sb1"),
		unheard,
		{x.standby, "ip address add 192.0.2.11/32 dev lo", "ip address del 192.0.2.11/32 dev lo", []string{"warning alias sb1"}, nil, true},
		{x.standby, "mount --bind /dev/null " + exchange, "umount " + exchange, []string{"failed software sb1"}, nil, true},
		edited(true, x.srv1, "sed -i 's/rsh: .*/rsh: false/; /lab exec/d' etc/mxcluster.yaml", "failed login srv1"),
		edited(false, x.srv2, "sed -i 's/rsh: .*/rsh: .no.such.ssh/; /lab exec/d' etc/mxcluster.yaml", "failed login srv2"),
		edited(false, x.standby, `printf 'arp:\n  budget: 9\n' >>etc/mxcluster.yaml`, "warning arp-budget sb1"),
		{x.srv1, "ip route add default via 192.0.2.254", "ip route del default", []string{"warning witness srv1"}, nil, false},
		fullDisk(x.standby),
		fullDisk(x.srv1),
		{x.srv2, `mkdir -p bin && LC_ALL=C sed 's/mod\tmxcluster\t(devel)/mod\tmxcluster\tv0.0.09/; s/\(mod\tmxcluster\tv[0-9]*\.[0-9]*\.\)[0-9]/\19/' ../bin/mxcluster >bin/mxcluster && chmod 755 bin/mxcluster`, "rm bin/mxcluster", []string{"warning version srv2"}, nil, false},
		{x.srv1, "nft 'add table netdev filter; add chain netdev filter out { type filter hook egress device " + dev + " priority 0; }; add rule netdev filter out arp daddr ip 192.0.2.21 arp saddr ip 192.0.2.21 drop'", "nft delete table netdev filter",
			[]string{"unknown announcement sb1"}, nil, false}, // srv1 sees that it could not send
	}
}

// awaitCheck checks until what is not ok is what is wanted, and for a while at most: agents
// take their time to notice.
func (x *site) awaitCheck(ctx context.Context, f *findings, doing string, of ...planted) {
	settled, cancel := context.WithTimeout(ctx, checkSettles)
	defer cancel()
	for {
		bad, _, err := x.checkOf(ctx, x.standby)
		f.noError(err, "checking with "+doing)
		wrong := difference(bad, of)
		if len(wrong) == 0 || err != nil {
			return
		}
		if settled.Err() != nil {
			f.check(false, "with %s: %s", doing, strings.Join(wrong, "; "))
			return
		}
	}
}

// checkSettles bounds how long a fault may take until it is found, or is no more.
const checkSettles = 20 * time.Second

// difference tells what was found besides, and what was not found.
func difference(bad []finding, of []planted) (wrong []string) {
	want, may, got := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range of {
		for _, w := range p.what {
			want[w] = true
		}
		for _, w := range p.also {
			may[w] = true
		}
	}
	for _, b := range bad {
		key := b.Verdict + " " + b.Name + " " + b.Server
		got[key] = true
		if !want[key] && !may[key] {
			wrong = append(wrong, fmt.Sprintf("found besides: %+v", b))
		}
	}
	for w := range want {
		if !got[w] {
			wrong = append(wrong, "not found: "+w)
		}
	}
	return wrong
}

// checkScenario: a healthy system has nothing but ok, without a gateway and whoever asks; each fault
// is found by its own check and by no other; and all is ok again when it is healed.
func checkScenario(ctx context.Context, l *Lab) error {
	x := newEmptySite(l)
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) }} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	var f findings
	for _, s := range []*Server{x.standby, x.srv1} {
		bad, all, err := x.checkOf(ctx, s)
		f.noError(err, "checking on "+s.Name)
		f.check(err == nil && len(bad) == 0 && all > 40, "%s finds in a healthy system of %d checks: %+v", s.Name, all, bad)
	}
	if err := x.sh(ctx, x.srv1, layered); err != nil {
		return err
	}
	var few []planted
	for _, p := range x.plantable() {
		if p.few {
			few = append(few, p)
		}
		if os.Getenv(checkEnv) == "" {
			continue
		}
		if err := x.sh(ctx, p.on, p.how); err != nil {
			return err
		}
		x.awaitCheck(ctx, &f, p.how, p)
		if err := x.sh(ctx, p.on, p.heal); err != nil {
			return err
		}
	}
	x.awaitCheck(ctx, &f, "each healed")
	for _, p := range few {
		if err := x.sh(ctx, p.on, p.how); err != nil {
			return err
		}
	}
	x.awaitCheck(ctx, &f, "some at once", few...)
	for _, p := range few {
		if err := x.sh(ctx, p.on, p.heal); err != nil {
			return err
		}
	}
	x.awaitCheck(ctx, &f, "all healed")
	return f.err()
}
