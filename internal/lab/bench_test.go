//go:build linux

package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchEnv names the measurements to take; none by default. They take minutes, and
// what they print depends on the machine. See bench/failover.
const benchEnv = "MXCLUSTER_TEST_BENCH"

// TestBench takes the measurements that were asked for.
func TestBench(t *testing.T) {
	for _, name := range strings.Fields(os.Getenv(benchEnv)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			o := labOptions(self(t), program(t), filepath.Join(shortTempDir(t), "lab"), "bench "+name)
			o.Out, o.Err = os.Stdout, os.Stderr
			err := Launch(ctx, o)
			needNamespaces(t, err)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// benchScenarios are what TestBench runs, by name.
func benchScenarios() map[string]Scenario {
	all := map[string]Scenario{
		"power":           benchInstantPower,
		"power-software":  benchSoftwarePower,
		"power-preloaded": benchPreloadedPower,
		"partition":       benchPartition,
		"loss-30":         func(ctx context.Context, l *Lab) error { return benchLoss(ctx, l, 30) },
		"loss-50":         func(ctx context.Context, l *Lab) error { return benchLoss(ctx, l, 50) },
		"frozen":          benchFrozen,
		"spinning":        benchSpinning,
		"killed":          benchKilled,
		"idle":            benchIdle,
		"flapping":        benchFlapping(3, 0),
		"quiet-hour":      benchFlapping(1, time.Hour),
		"drain":           benchDrain,
		"management":      benchManagement(false),
		"management-copy": benchManagement(true),
		"rehearsal":       benchRehearsal,
		"scraped":         benchScraped,
		"ka-power":        func(ctx context.Context, l *Lab) error { return keepalivedPower(ctx, l, "1", 10) },
		"ka-power-100":    func(ctx context.Context, l *Lab) error { return keepalivedPower(ctx, l, "0.1", 10) },
		"ka-loss-30":      func(ctx context.Context, l *Lab) error { return keepalivedLoss(ctx, l, "0.1", 30) },
		"ka-loss-50":      func(ctx context.Context, l *Lab) error { return keepalivedLoss(ctx, l, "0.1", 50) },
		"ka-frozen":       func(ctx context.Context, l *Lab) error { return keepalivedFrozen(ctx, l, "0.1") },
		"ka-killed":       func(ctx context.Context, l *Lab) error { return keepalivedKilled(ctx, l, "0.1") },
	}
	out := map[string]Scenario{}
	maps.Copy(all, addressScenarios())
	maps.Copy(all, attackScenarios())
	for name, s := range all {
		out["bench "+name] = s
	}
	return out
}

// benchNumber reads a number that a measurement is told by the environment.
func benchNumber(name string, or int) int {
	if n, err := strconv.Atoi(os.Getenv("MXCLUSTER_BENCH_" + name)); err == nil {
		return n
	}
	return or
}

// benchTime is how long what needs time is measured.
func benchTime() time.Duration { return time.Duration(benchNumber("SECONDS", 30)) * time.Second }

// benchSite is a site with nothing in it yet.
func benchSite(l *Lab) *site {
	return &site{Lab: l, narrator: newNarrator(os.Stdout, os.Getenv("MXCLUSTER_BENCH_VERBOSE") == ""), asking: time.Millisecond}
}

// newBenchSite makes a cluster with the settings that users have by default,
// and a client that calls every 2 ms.
func newBenchSite(ctx context.Context, l *Lab, failoverAfter time.Duration, more ...string) (*site, error) {
	return newSettledBenchSite(ctx, l, failoverAfter, "", more...)
}

// newSettledBenchSite is newBenchSite with other settings.
func newSettledBenchSite(ctx context.Context, l *Lab, failoverAfter time.Duration, settings string, more ...string) (*site, error) {
	x := benchSite(l)
	x.settings = settings
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.callQuickly, func(ctx context.Context) error {
		return x.create(ctx, failoverAfter, more...)
	}} {
		if err := within(ctx, time.Minute, step); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *site) callQuickly(context.Context) error { return x.callAlias(labAddress(11).Addr()) }

// callAlias connects a client that calls an address every 2 ms, and a watcher.
func (x *site) callAlias(alias netip.Addr) error {
	client, err := x.network.addClient("phone", clientMAC(0), labAddress(100))
	if err != nil {
		return err
	}
	if err := client.Do(func() error {
		x.caller, err = newCaller(alias, 2*time.Millisecond)
		return err
	}); err != nil {
		return err
	}
	x.Go(x.caller.Run)
	x.watcher, err = x.AddWatcher(alias, x.asking)
	return err
}

// row prints one line of a table.
func row(what string, cells ...any) {
	fmt.Printf("| %-46s |", what)
	for _, c := range cells {
		fmt.Printf(" %v |", c)
	}
	fmt.Println()
}

// spread is the median, the least and the most of a series.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	all = slices.Sorted(slices.Values(all))
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond)) }
	return fmt.Sprintf("median %s ms (%s-%s) of %d", ms(all[len(all)/2]), ms(all[0]), ms(all[len(all)-1]), len(all))
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lose has a switch port lose so many of a hundred frames, at random, both ways;
// 0 ends it.
func (l *Lab) lose(ctx context.Context, port string, percent int) error {
	rules, which := "add table netdev loss\ndelete table netdev loss\n", ""
	if percent < 100 { // nft refuses what is true of all numbers
		which = fmt.Sprintf("numgen random mod 100 < %d ", percent)
	}
	if percent > 0 {
		rules += fmt.Sprintf(`table netdev loss {
	chain in { type filter hook ingress device "%[1]s" priority 0; %[2]sdrop; }
	chain out { type filter hook egress device "%[1]s" priority 0; %[2]sdrop; }
}
`, port, which)
	}
	file := filepath.Join(l.Dir, "loss.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	return l.hostRun(ctx, "/usr/sbin/nft", "-f", file)
}

// terms are the terms of both LIMs: each start raises one.
func (x *site) terms(ctx context.Context) (out [2]uint64, err error) {
	for i := range out {
		s, err := limStatus(ctx, x.srv2, i+1)
		if err != nil {
			return out, err
		}
		out[i] = s.Term
	}
	return out, nil
}

// undisturbed runs f and checks that no LIM was started anew or moved
// meanwhile; it prints what the client lost.
func (x *site) undisturbed(ctx context.Context, what string, f func() error) error {
	var bad findings
	before, err := x.terms(ctx)
	if err != nil {
		return err
	}
	from := time.Now()
	if err := f(); err != nil {
		return err
	}
	to := time.Now()
	bad.noError(x.await(ctx, 1, "srv1"), what)
	after, err := x.terms(ctx)
	bad.noError(err, what)
	bad.noError(x.caller.Settle(ctx), what)
	s, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	bad.check(before == after && len(h.By) == 1 && h.Twice == 0, "terms %v, then %v; alias held by %v", before, after, h.By)
	row(what, fmt.Sprintf("%.0f s", to.Sub(from).Seconds()), fmt.Sprintf("takeovers %d", after[0]-before[0]+after[1]-before[1]),
		fmt.Sprintf("calls lost %d of %d, silence %s", s.Lost, s.Calls, milliseconds(s.Silence)), fmt.Sprintf("held by %d, two at once %d", len(h.By), h.Twice))
	return bad.err()
}

func benchLoss(ctx context.Context, l *Lab, percent int) error {
	x, err := newBenchSite(ctx, l, 200*time.Millisecond)
	if err != nil {
		return err
	}
	return x.undisturbed(ctx, fmt.Sprintf("loss of %d %% both ways, failover-after 200 ms", percent), func() error {
		if err := l.lose(ctx, "sb1", percent); err != nil {
			return err
		}
		if err := wait(ctx, benchTime()); err != nil {
			return err
		}
		return l.lose(ctx, "sb1", 0)
	})
}
