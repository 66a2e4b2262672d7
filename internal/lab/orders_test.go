//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mxcluster/internal/status"
)

// ordersEnv asks for every order of failing and healing; by default a few are tried.
const ordersEnv = "MXCLUSTER_TEST_ALL_ORDERS"

func TestOrdersOfFailing(t *testing.T) {
	t.Parallel()
	runScenario(t, "orders", program(t))
}

// trio is a cluster of three regular servers and a standby, and where its LIMs must
// be: what the rules demand (design section 5, rules 2 and 3), worked out here again
// from who is up alone.
type trio struct {
	*site
	servers []*Server // of LIMs 1 to 3
	up      [4]bool   // the server of a LIM has power
	guest   int       // LIM on the standby, 0 for none
}

// trioPriorities are the priorities of LIMs 1 to 3: the lower value is the higher one.
var trioPriorities = [4]int{0, 10, 20, 20}

// ordersScenario has the servers lose their power one after the other, and come back.
func ordersScenario(ctx context.Context, l *Lab) error {
	x, err := newTrio(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	orders := [][2][]int{{{2, 3, 1}, {3, 1, 2}}, {{1, 3, 2}, {2, 3, 1}}}
	if os.Getenv(ordersEnv) != "" {
		orders = everyOrder()
	}
	for _, o := range orders {
		f.noError(x.play(ctx, o[0], o[1]), fmt.Sprintf("failing %v, healing %v", o[0], o[1]))
	}
	f.noError(x.evictToHome(ctx), "evicted with its own server up")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "the alias of LIM 2: %d of %d ARP requests answered by two", h.Twice, h.Requests)
	row("three regulars, priorities 10, 20, 20, manual", fmt.Sprintf("%d orders of failing and healing", len(orders)), "every state as rules 2 and 3 say")
	return f.err()
}

// everyOrder is every order of failing with every order of healing.
func everyOrder() (all [][2][]int) {
	six := [][]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}}
	for _, failing := range six {
		for _, healing := range six {
			all = append(all, [2][]int{failing, healing})
		}
	}
	return all
}

func newTrio(ctx context.Context, l *Lab) (*trio, error) {
	x := &trio{site: &site{Lab: l, narrator: newNarrator(os.Stdout, false), asking: 5 * time.Millisecond}}
	settings := fmt.Sprintf("alias:\n  lease: %s\nagent:\n  start_grace: 2s\n", testLease)
	var all []*Server
	for i, name := range []string{"srv1", "srv2", "srv3", "sb1"} {
		s, err := l.AddServer(name, labAddress(byte(11+i)))
		if err == nil {
			err = s.Boot(ctx)
		}
		if err == nil {
			err = s.writeSettings(settings)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	x.servers, x.srv1, x.standby, x.up = all[:3], all[0], all[3], [4]bool{true, true, true, true}
	if err := x.addGateway(); err != nil { // without it the last regular server's death is not acted on
		return nil, err
	}
	return x, within(ctx, time.Minute, x.makeTrio)
}

// makeTrio registers the servers, starts their agents and makes the cluster.
func (x *trio) makeTrio(ctx context.Context) error {
	exchange, err := x.installExchange()
	if err != nil {
		return err
	}
	create := []string{"create", "c1", "--standby", "sb1", "--failover-after", testFailoverAfter.String(), "--wait"}
	for i, s := range append(slices.Clone(x.servers), x.standby) {
		args := []string{"server", "add", s.Name, "--base", s.base.String(), "--interface", serverInterface}
		if i == 0 {
			args = append([]string{"init", "--server", s.Name}, args[3:]...)
		}
		if s != x.standby {
			args = append(args, "--lim", fmt.Sprint(i+1))
			create = append(create, "--lim", fmt.Sprintf("%d=%s,priority=%d", i+1, labAddress(byte(21+i)).Addr(), trioPriorities[i+1]))
		}
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"server", "to-standby", "sb1"}, {"lim", "set", "1"}, {"lim", "set", "2"}, {"lim", "set", "3"}} {
		if args[0] == "lim" {
			args = append(args, "--service", "exec:"+exchange)
		}
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	for i, s := range append(slices.Clone(x.servers), x.standby) {
		if i > 0 {
			if err := x.mx(ctx, s, "join", x.srv1.base.Addr().String(), "--key-file", filepath.Join(x.srv1.dir, "etc", "gossip.key")); err != nil {
				return err
			}
		}
		if err := x.startAgent(ctx, s); err != nil {
			return err
		}
	}
	if err := x.mx(ctx, x.srv1, create...); err != nil {
		return err
	}
	for i, s := range x.servers {
		s.SetBase(labAddress(byte(21 + i)))
	}
	if x.watcher, err = x.AddWatcher(labAddress(12).Addr(), x.asking); err != nil {
		return err
	}
	return x.asExpected(ctx, "at the start")
}

// play has servers fail in one order and heal in another, and brings home at the end
// what is on the standby.
func (x *trio) play(ctx context.Context, failing, healing []int) error {
	for _, lim := range failing {
		if err := x.fail(ctx, lim); err != nil {
			return err
		}
	}
	for _, lim := range healing {
		if err := x.heal(ctx, lim); err != nil {
			return err
		}
	}
	return x.fallBack(ctx)
}

// fail cuts the power of a LIM's server. The LIM replaces one of lower priority on the
// standby, and waits for one of the same or a higher.
func (x *trio) fail(ctx context.Context, lim int) error {
	if err := x.servers[lim-1].PowerCut(); err != nil {
		return err
	}
	x.up[lim] = false
	if x.guest == 0 || trioPriorities[lim] < trioPriorities[x.guest] {
		x.guest = lim
	}
	return x.asExpected(ctx, fmt.Sprintf("after the power cut of srv%d", lim))
}

// heal gives a LIM's server its power back: a LIM that waits starts there, one that is
// on the standby stays.
func (x *trio) heal(ctx context.Context, lim int) error {
	s := x.servers[lim-1]
	if err := s.Boot(ctx); err != nil {
		return err
	}
	if err := x.startAgent(ctx, s); err != nil {
		return err
	}
	x.up[lim] = true
	return x.asExpected(ctx, fmt.Sprintf("after the boot of srv%d", lim))
}

// fallBack moves the LIM on the standby home by order.
func (x *trio) fallBack(ctx context.Context) error {
	lim := x.guest
	err := within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, lim, "may fall back", fallbackReady)
	})
	if err != nil {
		return err
	}
	if err := x.mx(ctx, x.standby, "fallback", fmt.Sprint(lim), "--wait"); err != nil {
		return err
	}
	x.guest = 0
	return x.asExpected(ctx, "after the fallback")
}

// evictToHome has LIM 1 take the standby from LIM 2, whose own server is up again: it
// starts there although fallback is manual.
func (x *trio) evictToHome(ctx context.Context) error {
	for _, step := range []func() error{
		func() error { return x.fail(ctx, 2) }, func() error { return x.heal(ctx, 2) },
		func() error { return x.fail(ctx, 1) }, func() error { return x.heal(ctx, 1) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return x.fallBack(ctx)
}

// asExpected waits until every LIM is where the rules want it, as the standby says.
func (x *trio) asExpected(ctx context.Context, when string) error {
	for lim := 1; lim <= 3; lim++ {
		what, wanted := "waits, visibly", func(l *status.StatusLIM) bool { return l.ActiveOn == nil && l.Waiting }
		switch {
		case lim == x.guest:
			what, wanted = "runs on sb1", runsOn("sb1")
		case x.up[lim]:
			home := x.servers[lim-1].Name
			what, wanted = "runs on "+home, runsOn(home)
		}
		err := within(ctx, testStep, func(ctx context.Context) error { return awaitLIM(ctx, x.standby, lim, what, wanted) })
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
	}
	return nil
}
