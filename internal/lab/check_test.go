//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
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

// planted is a fault of a server.
type planted struct {
	on   *Server
	how  string   // for sh, in the server's folder
	what []string // VERDICT NAME SERVER of the findings that are to follow
}

// checkScenario: a healthy system has nothing but ok, without a gateway and whoever asks; and
// each fault is found by its own check and by no other.
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
	const table = "table inet firewall; add chain inet firewall in { type filter hook input priority 0; }; add rule inet firewall in ip saddr "
	want := map[string]bool{}
	for _, p := range []planted{
		{x.srv2, "sysctl -qw net.ipv4.conf." + serverInterface + ".promote_secondaries=0", []string{"failed promote-secondaries srv2"}},
		{x.srv2, "ip link set " + serverInterface + " mtu 1400", []string{"failed segment sb1", "failed segment srv1"}},
		{x.srv2, "chmod 644 etc/gossip.key", []string{"failed gossip-key srv2"}},
		{x.srv1, "mount -t tmpfs none /etc/systemd && mkdir /etc/systemd/network && printf '[Network]\nAddress=192.0.2.11/24\n' >/etc/systemd/network/x.network", []string{"warning network-configuration srv1"}},
		{x.standby, "nft 'add " + table + "192.0.2.21 tcp dport 7946 drop'", []string{"failed gossip-tcp srv1"}},
		{x.standby, "ip address add 192.0.2.11/32 dev lo", []string{"warning alias sb1"}},
		{x.standby, "mount --bind /dev/null '" + l.Dir + "/exchange'", []string{"failed software sb1"}},
		{x.srv1, "sed -i 's/rsh: .*/rsh: false/; /lab exec/d' etc/mxcluster.yaml", []string{"failed login srv1"}},
	} {
		r, err := p.on.Run(ctx, nil, "sh", "-c", "set -e; cd '"+p.on.Dir()+"'; "+p.how)
		if err != nil || r.Code != 0 {
			return fmt.Errorf("planting %v: %w %s%s", p.what, err, r.Out, r.Err)
		}
		for _, w := range p.what {
			want[w] = true
		}
	}
	bad, _, err := x.checkOf(ctx, x.standby)
	f.noError(err, "checking a faulty system")
	got := map[string]bool{}
	for _, b := range bad {
		got[b.Verdict+" "+b.Name+" "+b.Server] = true
		f.check(want[b.Verdict+" "+b.Name+" "+b.Server] || b.Name == "settings" && b.Server == "srv1", "found besides: %+v", b)
	}
	for w := range want {
		f.check(got[w], "not found: %s", w)
	}
	return f.err()
}
