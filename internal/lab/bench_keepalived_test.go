//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keepalived runs Debian's keepalived on two servers, the first one preferred,
// with the time between two advertisements, in seconds.
func keepalived(ctx context.Context, l *Lab, interval string) (*site, error) {
	return keepalivedAt(ctx, l, interval, keepalivedPriorities())
}

// keepalivedPriorities are those of srv1 and of the standby.
func keepalivedPriorities() [2]int { return [2]int{150, 100} }

// keepalivedAt is the same with other priorities.
func keepalivedAt(ctx context.Context, l *Lab, interval string, priorities [2]int) (*site, error) {
	x := &site{Lab: l, narrator: newNarrator(os.Stdout, true), asking: time.Millisecond}
	if err := x.build(ctx); err != nil {
		return nil, err
	}
	exchange, err := l.installExchange()
	if err != nil {
		return nil, err
	}
	if err := x.callAlias(labAddress(99).Addr()); err != nil {
		return nil, err
	}
	for _, s := range []*Server{x.srv1, x.standby} {
		if err := x.startKeepalived(ctx, s, exchange, interval, priorities); err != nil {
			return nil, err
		}
		if err := wait(ctx, 4*time.Second); err != nil {
			return nil, err
		}
	}
	return x, x.caller.WaitAnswer(ctx, "srv1", time.Now())
}

// keepalivedAlias is the address that keepalived moves.
func keepalivedAlias() string { return labAddress(99).String() }

func (x *site) startKeepalived(ctx context.Context, s *Server, exchange, interval string, priorities [2]int) error {
	priority := priorities[0]
	if s == x.standby {
		priority = priorities[1]
	}
	conf := fmt.Sprintf(`global_defs { vrrp_version 3 }
vrrp_instance V1 { state BACKUP
 interface eth0
 virtual_router_id 51
 priority %d
 advert_int %s
 nopreempt
 virtual_ipaddress { %s dev eth0 }
}
`, priority, interval, keepalivedAlias())
	file := filepath.Join(s.dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	// The service is there already, as with a preloaded LIM.
	script := fmt.Sprintf("echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind; MXCLUSTER_SERVER=%s MXCLUSTER_LIM=1 MXCLUSTER_ALIAS=%s %s start",
		s.Name, labAddress(99).Addr(), exchange)
	if out, code, err := shell(ctx, s, script); err != nil || code != 0 {
		return fmt.Errorf("starting the service beside keepalived: %s, code %d, %w", out, code, err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "keepalived.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	run := filepath.Join(s.dir, "run")
	_, err = start(ctx, x.Dir, s.Name, []string{"/usr/sbin/keepalived", "-n", "-l", "-D", "-P", "-f", file,
		"-p", filepath.Join(run, "ka.pid"), "-r", filepath.Join(run, "vrrp.pid")}, nil, Stdio{Out: log, Err: log})
	return err
}

// keepalivedPower cuts the power of the active server again and again.
func keepalivedPower(ctx context.Context, l *Lab, interval string, runs int) error {
	x, err := keepalived(ctx, l, interval)
	if err != nil {
		return err
	}
	var silences []time.Duration
	active, passive := x.srv1, x.standby
	for range benchNumber("RUNS", runs) {
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		cut := time.Now()
		if err := active.PowerCut(); err != nil {
			return err
		}
		if err := x.caller.WaitAnswer(ctx, passive.Name, cut); err != nil {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		silences = append(silences, x.caller.Between(cut.Add(-50*time.Millisecond), time.Now()).Silence)
		if err := active.Boot(ctx); err != nil {
			return err
		}
		if err := x.startKeepalived(ctx, active, filepath.Join(l.Dir, "exchange"), interval, keepalivedPriorities()); err != nil {
			return err
		}
		if err := wait(ctx, 2*time.Second); err != nil {
			return err
		}
		active, passive = passive, active
	}
	row("keepalived, advertisements every "+interval+" s: power cut", spread(silences))
	return nil
}

// countMasters counts how often the standby's keepalived became master.
func (x *site) countMasters() int {
	log, err := os.ReadFile(filepath.Join(x.standby.dir, "keepalived.log"))
	if err != nil {
		return -1
	}
	return strings.Count(string(log), "Entering MASTER STATE")
}

// logKeepalived prints what keepalived did while f ran.
func (x *site) logKeepalived(ctx context.Context, what string, f func() error) error {
	before, from := x.countMasters(), time.Now()
	if err := f(); err != nil {
		return err
	}
	to := time.Now()
	if err := wait(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	s, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	row(what, fmt.Sprintf("%.0f s", to.Sub(from).Seconds()), fmt.Sprintf("takeovers %d", x.countMasters()-before),
		fmt.Sprintf("calls lost %d of %d, silence %s", s.Lost, s.Calls, milliseconds(s.Silence)), fmt.Sprintf("held by %d, two at once %d", len(h.By), h.Twice))
	return nil
}

func keepalivedLoss(ctx context.Context, l *Lab, interval string, percent int) error {
	x, err := keepalived(ctx, l, interval)
	if err != nil {
		return err
	}
	return x.logKeepalived(ctx, fmt.Sprintf("keepalived, every %s s: loss of %d %% both ways", interval, percent), func() error {
		if err := l.lose(ctx, "sb1", percent); err != nil {
			return err
		}
		return wait(ctx, benchTime())
	})
}

func keepalivedFrozen(ctx context.Context, l *Lab, interval string) error {
	x, err := keepalived(ctx, l, interval)
	if err != nil {
		return err
	}
	return x.logKeepalived(ctx, fmt.Sprintf("keepalived, every %s s: stopped for 2 s, five times", interval), func() error {
		for range 5 {
			for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT} {
				if err := signalPIDs(ctx, x.srv1, sig); err != nil {
					return err
				}
				if err := wait(ctx, 2*time.Second); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func keepalivedKilled(ctx context.Context, l *Lab, interval string) error {
	x, err := keepalived(ctx, l, interval)
	if err != nil {
		return err
	}
	return x.logKeepalived(ctx, fmt.Sprintf("keepalived, every %s s: killed", interval), func() error {
		if err := signalPIDs(ctx, x.srv1, unix.SIGKILL); err != nil {
			return err
		}
		return wait(ctx, 10*time.Second)
	})
}
