//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one way to keep an address on one of two servers, at home on
// srv1, with sb1 to step in.
type contender struct {
	*site
	name  string
	alias netip.Prefix
	// signal sends a signal to all of its processes on a server.
	signal func(ctx context.Context, s *Server, sig unix.Signal) error
	// start starts it on a server where it was killed.
	start func(ctx context.Context, s *Server) error
	// move moves the address to the other server, as planned. It returns when that
	// was asked for.
	move func(ctx context.Context, from, to *Server) error
	// settle makes both servers ready for the next move, after one away from a server;
	// nil: they are.
	settle func(ctx context.Context, from *Server) error
	// home has the address go back to srv1 after a failure is over.
	home func(ctx context.Context) error
}

// contenders make each of them, in a lab of its own, by the name of the
// measurements' suffix.
func contenders() map[string]func(context.Context, *Lab) (*contender, error) {
	return map[string]func(context.Context, *Lab) (*contender, error){
		"":                  mxclusterContender,
		"-arbiter":          arbitratedContender,
		"-keepalived":       keepalivedContender,
		"-keepalived-tuned": tunedKeepalivedContender,
		"-ucarp":            ucarpContender,
	}
}

// mxclusterContender is a cluster of two LIMs whose software takes no time to
// start: it is up on both servers all the time, as for the others.
func mxclusterContender(ctx context.Context, l *Lab) (*contender, error) {
	return newMxclusterContender(ctx, benchSite(l))
}

// arbitratedContender is the same with an etcd of one server on the switch.
func arbitratedContender(ctx context.Context, l *Lab) (*contender, error) {
	a, err := startArbiter(ctx, l)
	if err != nil {
		return nil, err
	}
	x := benchSite(l)
	x.settings = a.settings(defaultKeyLease)
	return newMxclusterContender(ctx, x)
}

func newMxclusterContender(ctx context.Context, x *site) (*contender, error) {
	if err := x.build(ctx); err != nil {
		return nil, err
	}
	alias := labAddress(11)
	for _, s := range []*Server{x.srv1, x.standby} {
		if err := x.serveAlways(ctx, s, alias.Addr()); err != nil {
			return nil, err
		}
	}
	for _, step := range []func(context.Context) error{x.registerServers, x.startAgents, x.callQuickly, func(ctx context.Context) error {
		return x.create(ctx, 200*time.Millisecond)
	}} {
		if err := within(ctx, time.Minute, step); err != nil {
			return nil, err
		}
	}
	c := &contender{site: x, name: "mxcluster", alias: alias}
	c.signal = func(ctx context.Context, s *Server, sig unix.Signal) error { return s.SignalAgent(ctx, sig) }
	c.start = x.startAgent
	c.move = func(ctx context.Context, _, to *Server) error {
		order := map[*Server]string{x.srv1: "fallback", x.standby: "failover"}[to]
		if err := c.awaitReady(ctx, to); err != nil {
			return err
		}
		return x.mx(ctx, x.standby, order, "1")
	}
	c.home = func(ctx context.Context) error {
		if err := awaitLIM(ctx, x.standby, 1, "may fall back", fallbackReady); err != nil {
			return err
		}
		return x.mx(ctx, x.standby, "fallback", "1", "--wait")
	}
	return c, nil
}

// awaitReady waits until LIM 1 may move to a server.
func (c *contender) awaitReady(ctx context.Context, to *Server) error {
	if to == c.srv1 {
		return awaitLIM(ctx, c.standby, 1, "may fall back", fallbackReady)
	}
	return awaitLIM(ctx, c.standby, 1, "runs at home", runsOn("srv1"))
}

// serveAlways starts the lab's exchange on a server, for an address that is or
// is not there.
func (x *site) serveAlways(ctx context.Context, s *Server, alias netip.Addr) error {
	exchange, err := x.installExchange()
	if err != nil {
		return err
	}
	script := fmt.Sprintf("echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind; MXCLUSTER_SERVER=%s MXCLUSTER_LIM=1 MXCLUSTER_ALIAS=%s %s start",
		s.Name, alias, exchange)
	if out, code, err := shell(ctx, s, script); err != nil || code != 0 {
		return fmt.Errorf("starting the service on %s: %s, code %d, %w", s.Name, out, code, err)
	}
	return nil
}

func keepalivedContender(ctx context.Context, l *Lab) (*contender, error) {
	return newKeepalivedContender(ctx, l, "keepalived", keepalivedPriorities())
}

// tunedKeepalivedContender has the priorities with which the other one waits least
// when the first gives up: 2/256 of an interval.
func tunedKeepalivedContender(ctx context.Context, l *Lab) (*contender, error) {
	return newKeepalivedContender(ctx, l, "tuned", [2]int{254, 253})
}

func newKeepalivedContender(ctx context.Context, l *Lab, name string, priorities [2]int) (*contender, error) {
	interval := "1"
	x, err := keepalivedAt(ctx, l, interval, priorities)
	if err != nil {
		return nil, err
	}
	c := &contender{site: x, name: name, alias: labAddress(99), signal: func(ctx context.Context, s *Server, sig unix.Signal) error {
		return signalPIDs(ctx, s, sig)
	}}
	c.start = func(ctx context.Context, s *Server) error {
		return x.startKeepalived(ctx, s, filepath.Join(l.Dir, "exchange"), interval, priorities)
	}
	// Ended in order it says so, and the other one takes over at once.
	c.move = func(ctx context.Context, from, _ *Server) error { return endPID(ctx, from, "ka.pid") }
	c.settle = func(ctx context.Context, from *Server) error {
		return errors.Join(wait(ctx, 2*time.Second), c.start(ctx, from), wait(ctx, 5*time.Second))
	}
	c.home = func(ctx context.Context) error { return x.caller.WaitAnswer(ctx, "srv1", time.Now()) }
	return c, nil
}

// signalPIDs signals the processes that wrote their numbers into the run folder.
func signalPIDs(ctx context.Context, s *Server, sig unix.Signal) error {
	_, code, err := shell(ctx, s, fmt.Sprintf("for f in %s/run/*.pid; do case $f in */exchange-*) ;; *) kill -%d $(cat $f);; esac; done", s.dir, int(sig)))
	if err == nil && code != 0 {
		err = fmt.Errorf("signalling on %s: code %d", s.Name, code)
	}
	return err
}

// endPID ends a daemon in order.
func endPID(ctx context.Context, s *Server, file string) error {
	_, code, err := shell(ctx, s, fmt.Sprintf("kill $(cat %s/run/%s)", s.dir, file))
	if err == nil && code != 0 {
		err = fmt.Errorf("ending the process of %s on %s: code %d", file, s.Name, code)
	}
	return err
}

// ucarpContender runs Debian's ucarp with its shortest advertisements, 1 s, and
// scripts that add the address and take it away.
func ucarpContender(ctx context.Context, l *Lab) (*contender, error) {
	x := &site{Lab: l, narrator: newNarrator(os.Stdout, true), asking: time.Millisecond}
	if err := x.build(ctx); err != nil {
		return nil, err
	}
	c := &contender{site: x, name: "ucarp", alias: labAddress(99), signal: signalPIDs}
	c.start = func(ctx context.Context, s *Server) error { return x.startUcarp(ctx, s, c.alias) }
	// The way of its manual. It says nothing then, no more than when it is ended: the other
	// one misses three advertisements first.
	c.move = func(ctx context.Context, from, _ *Server) error { return signalPIDs(ctx, from, unix.SIGUSR2) }
	c.settle = func(ctx context.Context, _ *Server) error { return wait(ctx, 7*time.Second) }
	c.home = func(ctx context.Context) error { return x.caller.WaitAnswer(ctx, "srv1", time.Now()) }
	if err := x.callAlias(c.alias.Addr()); err != nil {
		return nil, err
	}
	for _, s := range []*Server{x.srv1, x.standby} {
		err := errors.Join(x.serveAlways(ctx, s, c.alias.Addr()), c.start(ctx, s), wait(ctx, 5*time.Second))
		if err != nil {
			return nil, err
		}
	}
	return c, x.caller.WaitAnswer(ctx, "srv1", time.Now())
}

// startUcarp starts ucarp on a server; srv1 is the one that keeps the address.
func (x *site) startUcarp(ctx context.Context, s *Server, alias netip.Prefix) error {
	skew := "0"
	if s == x.standby {
		skew = "20"
	}
	for name, verb := range map[string]string{"up": "add", "down": "del"} {
		script := fmt.Sprintf("#!/bin/sh\nip addr %s %s dev $1\n", verb, alias)
		if err := os.WriteFile(filepath.Join(s.dir, "ucarp-"+name), []byte(script), 0o700); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "ucarp.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := fmt.Sprintf("echo $$ > %[1]s/run/ucarp.pid; exec /usr/sbin/ucarp -i %[2]s -s %[3]s -v 51 -p secret -a %[4]s -b 1 -k %[5]s -z -u %[1]s/ucarp-up -d %[1]s/ucarp-down",
		s.dir, serverInterface, s.base.Addr(), alias.Addr(), skew)
	_, err = start(ctx, x.Dir, s.Name, []string{"sh", "-c", command}, nil, Stdio{Out: log, Err: log})
	return err
}
