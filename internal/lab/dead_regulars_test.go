//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/netns"
	"mxcluster/internal/status"
)

// deadEnv says how often both regular servers die in each order, and that the silence
// limit of 10 s is played, too; by default they do so in two of the orders.
const deadEnv = "MXCLUSTER_TEST_DEAD_REGULARS"

func TestDeadRegulars(t *testing.T) {
	t.Parallel()
	runScenario(t, "dead-regulars", program(t))
}
func TestDeadRegularsBesideAGateway(t *testing.T) {
	t.Parallel()
	runScenario(t, "dead-regulars-gateway", program(t))
}

// deathOrders are the orders in which the regular servers lose their power.
func deathOrders() [][]string { return [][]string{{"srv1", "srv2"}, {"srv2", "srv1"}, {"srv1+srv2"}} }

// deadRegularsScenario has both regular servers of a cluster die, and looks who serves,
// after how long, and what was said before. No client is there: it would be a witness.
func deadRegularsScenario(gateway bool) Scenario {
	return func(ctx context.Context, l *Lab) error {
		x := newEmptySite(l)
		for _, step := range []func(context.Context) error{x.build, x.makeSystem,
			func(ctx context.Context) error { return x.create(ctx, time.Second) }} {
			if err := within(ctx, testStep, step); err != nil {
				return err
			}
		}
		if gateway {
			if err := x.addGateway(); err != nil {
				return err
			}
		}
		times, _ := strconv.Atoi(os.Getenv(deadEnv))
		var f findings
		for range max(times, 1) {
			for _, after := range []time.Duration{time.Second, 10 * time.Second} {
				if times == 0 && after > time.Second {
					break
				}
				f.noError(x.mx(ctx, x.srv1, "change", "c1", "--failover-after", after.String(), "--wait"), "changing")
				for i, order := range deathOrders() {
					if times == 0 && i == 1 {
						continue
					}
					if f.noError(x.loseBoth(ctx, &f, order, after, gateway), strings.Join(order, ", ")); len(f.all) > 0 {
						return f.err()
					}
				}
			}
		}
		return f.err()
	}
}

// addGateway plugs a gateway in and gives the standby a route over it.
func (x *site) addGateway() error {
	if _, err := x.network.addClient("gateway", clientMAC(4), labAddress(1)); err != nil {
		return err
	}
	ns, err := netns.FromPID(x.standby.first.pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.AddDefaultRoute(serverInterface, labAddress(1).Addr())
}

// loseBoth plays one death of both servers and brings them back.
func (x *site) loseBoth(ctx context.Context, f *findings, order []string, after time.Duration, gateway bool) error {
	why := "redundant for one failure"
	if gateway {
		why = ""
	}
	before, err := x.awaitReady(ctx, true, why)
	if err != nil {
		return err
	}
	began := time.Now()
	first, err := x.cutServers(order[0])
	if err != nil {
		return err
	}
	said, alone := "", len(order) == 1 && !gateway
	if !alone {
		lim := 1
		if order[0] == "srv2" {
			lim = 2
		}
		served, err := x.awaitOneOf(ctx, lim, len(order) == 1)
		if err != nil {
			return err
		}
		first = served
	}
	took := time.Since(began)
	if len(order) > 1 {
		remedy := "server-is-dead"
		if gateway {
			remedy = ""
		}
		if said, err = x.awaitReady(ctx, gateway, remedy); err != nil {
			return err
		}
		if _, err := x.cutServers(order[1]); err != nil {
			return err
		}
	}
	if err := wait(ctx, after+2*time.Second); err != nil {
		return err
	}
	on := x.servedBy(ctx)
	if alone {
		f.check(len(on) == 0, "%v: the standby acted alone: serves %v", order, on)
		lim, dead := 1, "srv1"
		f.noError(x.mx(ctx, x.standby, "failover", fmt.Sprint(lim), "--now", "--server-is-dead", dead, "--yes", "--wait=10s"), "taking it over by order")
		on, first = x.servedBy(ctx), lim
	}
	f.check(slices.Equal(on, []int{first}), "%v: serves LIMs %v, want %d", order, on, first)
	x.say("figure: gateway %v, failover-after %s, dead %s: LIM %v on sb1, first after %s (alone: %v); said before: %q, before the second: %q",
		gateway, after, strings.Join(order, " then "), on, took.Round(time.Millisecond), !alone, before, said)
	return x.bringBack(ctx, first)
}

// cutServers cuts the power of one server, or of two at once.
func (x *site) cutServers(names string) (int, error) {
	ended := make(chan error, 2)
	all := strings.Split(names, "+")
	for _, name := range all {
		go func() { ended <- x.Server(name).PowerCut() }()
	}
	for range all {
		if err := <-ended; err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// awaitOneOf waits until the standby runs a LIM, or any where both died.
func (x *site) awaitOneOf(ctx context.Context, lim int, any bool) (served int, err error) {
	err = within(ctx, testStep, func(ctx context.Context) error {
		return poll(ctx, "the standby serves", func() bool {
			for _, n := range x.servedBy(ctx) {
				if n == lim || any {
					served = n
					return true
				}
			}
			return false
		})
	})
	return served, err
}

// servedBy lists the LIMs that run on the standby, as it says.
func (x *site) servedBy(ctx context.Context) (lims []int) {
	for _, lim := range []int{1, 2} {
		if l, err := limStatus(ctx, x.standby, lim); err == nil && runsOn("sb1")(l) {
			lims = append(lims, lim)
		}
	}
	return lims
}

// awaitReady waits until the standby says whether it could do its part, and why.
func (x *site) awaitReady(ctx context.Context, ready bool, why string) (said string, err error) {
	err = within(ctx, testStep, func(ctx context.Context) error {
		return poll(ctx, fmt.Sprintf("sb1 is ready: %v, %q", ready, why), func() bool {
			out, err := x.standby.Mxcluster(ctx, "status", "-o", "json")
			var answer status.ClusterStatus
			if err != nil || json.Unmarshal(out, &answer) != nil || len(answer.Clusters) == 0 {
				return false
			}
			for _, s := range answer.Clusters[0].Servers {
				if s.Name == "sb1" && s.Ready != nil {
					said = s.ReadyWhy
					return *s.Ready == ready && (why == "" && said == "" || why != "" && strings.Contains(said, why))
				}
			}
			return false
		})
	})
	if err != nil {
		err = fmt.Errorf("%w (said %q)", err, said)
	}
	return said, err
}

// bringBack gives both regular servers their power back, and the LIM on the standby its
// server.
func (x *site) bringBack(ctx context.Context, lim int) error {
	for _, s := range []*Server{x.srv1, x.srv2} {
		if err := s.Boot(ctx); err != nil {
			return err
		}
		if err := x.startAgent(ctx, s); err != nil {
			return err
		}
	}
	err := within(ctx, testStep+20*time.Second, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, lim, "may fall back", fallbackReady)
	})
	if err != nil {
		return err
	}
	if err := x.mx(ctx, x.standby, "fallback", fmt.Sprint(lim), "--wait"); err != nil {
		return err
	}
	for i, name := range []string{"srv1", "srv2"} {
		if err := within(ctx, testStep+20*time.Second, func(ctx context.Context) error {
			return awaitLIM(ctx, x.standby, i+1, "runs on "+name, runsOn(name))
		}); err != nil {
			return err
		}
	}
	return nil
}
