//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"mxcluster/internal/alarms"
)

// moreCauses are played with alarmsEnv alone.
func (x *ears) moreCauses() []alarmCause {
	of := func(name alarms.Name, lim int, server string) alarms.Key {
		return alarms.Key{Name: name, LIM: lim, Server: server}
	}
	type step = func(context.Context) error
	on := func(s *Server, args ...string) step {
		return func(ctx context.Context) error { return x.mx(ctx, s, args...) }
	}
	sh := func(s *Server, script string) step {
		return func(ctx context.Context) error { return x.sh(ctx, s, script) }
	}
	steps := func(all ...step) step {
		return func(ctx context.Context) error {
			for _, do := range all {
				if err := do(ctx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	backUp := func(s *Server, lim string, files int, more ...string) step {
		return func(ctx context.Context) error {
			from, err := s.writeData(files)
			if err != nil {
				return err
			}
			return x.mx(ctx, s, append([]string{"xdata", "backup", "--lim", lim, "--from", from, "--no-sync"}, more...)...)
		}
	}
	cut := func(s *Server, percent int) step {
		return func(ctx context.Context) error { return x.lose(ctx, s.Name, percent) }
	}
	runs := func(lim int, s *Server) step {
		return func(ctx context.Context) error { return x.await(ctx, lim, s.Name) }
	}
	home := func(lim string, n int, s *Server) step {
		return steps(func(ctx context.Context) error {
			return awaitLIM(ctx, x.standby, n, "is ready to fall back", fallbackReady)
		}, on(x.standby, "fallback", lim, "--wait"), runs(n, s))
	}
	able := filepath.Join(x.Dir, "able")
	badLogin := func(s *Server) step {
		return sh(s, "cp etc/mxcluster.yaml run/settings; sed -i 's/rsh: .*/rsh: false/; /lab exec/d' etc/mxcluster.yaml")
	}
	goodLogin := func(s *Server) step { return sh(s, "cp run/settings etc/mxcluster.yaml") }
	exchange := "'" + x.Dir + "/exchange'"
	return []alarmCause{
		{of(alarms.Unfit, 2, "sb1"), steps(
			func(context.Context) error {
				return os.WriteFile(able, []byte("#!/bin/sh\n! [ \"$MXCLUSTER_SERVER\" = sb1 ] || { echo no line card; exit 1; }\n"), 0o755)
			}, on(x.srv1, "lim", "set", "2", "--check", "exec:"+able),
		), func(context.Context) error { return os.WriteFile(able, []byte("#!/bin/sh\n"), 0o755) }},
		{of(alarms.NotRedundant, 1, "sb1"), sh(x.standby, "mount --bind /dev/null "+exchange), sh(x.standby, "umount "+exchange)},
		{of(alarms.SyncFailed, 1, "sb1"), steps(badLogin(x.srv1), badLogin(x.standby), backUp(x.srv1, "1", 5)),
			steps(goodLogin(x.srv1), goodLogin(x.standby), on(x.srv1, "sync", "--lim", "1"))},
		{of(alarms.DataConflict, 2, "sb1"), steps(cut(x.standby, 100), backUp(x.standby, "2", 3, "--force"), backUp(x.srv2, "2", 4), cut(x.standby, 0)),
			on(x.standby, "sync", "--lim", "2", "--keep", "regular")},
		{of(alarms.RehearsalFailed, 2, "sb1"), steps(sh(x.standby, "touch broken"), on(x.srv1, "lim", "set", "2", "--rehearsable"), on(x.standby, "rehearse", "--lim", "2")),
			steps(sh(x.standby, "rm broken"), on(x.standby, "rehearse", "--lim", "2", "--wait"))},
		{of(alarms.AnnounceFailed, 1, "srv1"), sh(x.srv1, "nft 'add table netdev filter; add chain netdev filter out { type filter hook egress device "+serverInterface+" priority 0; }; add rule netdev filter out arp saddr ip 192.0.2.11 arp daddr ip 192.0.2.11 drop'"),
			sh(x.srv1, "nft delete table netdev filter")},
		{of(alarms.DiskFull, 0, "srv2"), sh(x.srv2, "mount -t tmpfs -o size=128k none state"), sh(x.srv2, "umount state")},
		{of(alarms.NotUnderstood, 2, "srv2"), steps(sh(x.srv2, "cp -p etc/gossip.key run/key; head -c 32 /dev/urandom | base64 >etc/gossip.key"), x.again(x.srv2)),
			steps(sh(x.srv2, "cp -p run/key etc/gossip.key"), x.again(x.srv2))},
		{of(alarms.DocumentBehind, 0, "srv2"), steps(sh(x.srv2, "nft 'add table inet firewall; add chain inet firewall in { type filter hook input priority 0; }; add rule inet firewall in tcp dport 7946 drop; add rule inet firewall in tcp sport 7946 drop'"),
			on(x.srv1, "change", "c1", "--priority", "2=90")), sh(x.srv2, "nft delete table inet firewall")},
		{of(alarms.LockLeft, 2, "srv2"), steps(on(x.srv1, "lock", "2", "--to", "regular", "--reason", "new disks"), func(ctx context.Context) error {
			return x.sh(ctx, x.srv1, "EDITOR='sed -i s/since:.*/since:\\ 2026-01-01T00:00:00Z/' mxcluster config edit --yes")
		}), on(x.srv1, "unlock", "2")},
		{of(alarms.MACUsed, 1, "sb1"), x.spoof, func(context.Context) error { return nil }},
		{of(alarms.AddressTwice, 1, "sb1"), sh(x.standby, "ip address add 192.0.2.11/24 dev "+serverInterface), func(context.Context) error { return nil }},
		{of(alarms.DocumentConflict, 0, ""), steps(cut(x.srv1, 100), runs(1, x.standby), on(x.srv1, "change", "c1", "--priority", "1=50"), on(x.standby, "change", "c1", "--priority", "2=60"), cut(x.srv1, 0)),
			steps(on(x.standby, "change", "c1", "--priority", "2=70"), home("1", 1, x.srv1))},
		{of(alarms.Flapping, 1, "srv1"), steps(on(x.srv1, "change", "c1", "--fallback", "automatic"), x.fail(runs(1, x.srv1)), x.fail(runs(1, x.srv1))),
			on(x.srv1, "change", "c1", "--fallback", "manual")},
		{of(alarms.AddressProxied, 0, "srv2"), x.plugBase, x.unplugStranger},
	}
}

// again starts the agent of a server once more, which takes its settings and keys anew.
func (x *ears) again(s *Server) func(context.Context) error {
	return func(ctx context.Context) error { return x.restart(ctx, s) }
}

// fail cuts the power of srv1 until LIM 1 runs on the standby, and returns it.
func (x *ears) fail(until func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := errors.Join(x.srv1.PowerCut(), x.await(ctx, 1, "sb1"), x.boot(ctx, x.srv1)); err != nil {
			return err
		}
		return until(ctx)
	}
}

// spoof has a host claim the alias of LIM 1 with the standby's MAC address, for some seconds.
func (x *ears) spoof(ctx context.Context) error {
	port, err := x.network.addTap("spoofer", net.HardwareAddr{2, 0, 0x5e, 0, 9, 8})
	if err != nil {
		return err
	}
	if _, err := claimAs(ctx, port, x.address(11).Addr(), x.standby.MAC, x.srv1.MAC); err != nil {
		return fmt.Errorf("claiming the alias: %w", err)
	}
	return nil
}

// plugBase connects a host that has the base of srv2 and says nothing.
func (x *ears) plugBase(context.Context) error {
	_, err := x.network.addClient(strangerPort, net.HardwareAddr{2, 0, 0x5e, 0, 9, 9}, x.srv2.base)
	return err
}

// slowAlarms take their time to be raised or cleared.
func slowAlarms() map[alarms.Name]time.Duration {
	return map[alarms.Name]time.Duration{
		alarms.AddressProxied: 8 * time.Minute, // asked for aloud once a minute; over five minutes after the last answer
		alarms.AddressTwice:   3 * time.Minute, // remembered for a minute
		alarms.NotUnderstood:  5 * time.Minute, // remembered for three minutes
	}
}
