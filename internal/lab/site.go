//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// site is a lab with a system for a cluster of two LIMs: two regular servers, a standby, the LIMs'
// software, and a client of LIM 1. The demonstration and the tests create it with ordinary
// commands.
type site struct {
	*Lab
	*narrator
	settings string        // added to every server's mxcluster.yaml
	asking   time.Duration // interval of the watcher's requests
	ipv6     bool          // the servers have IPv6 addresses

	srv1, srv2, standby *Server
	caller              *Caller
	watcher             *Watcher
}

// build creates three servers and switches them on.
func (x *site) build(ctx context.Context) (err error) {
	for _, s := range []struct {
		server **Server
		name   string
		host   byte
	}{{&x.srv1, "srv1", 11}, {&x.srv2, "srv2", 12}, {&x.standby, "sb1", 31}} {
		if *s.server, err = x.AddServer(s.name, x.address(s.host)); err != nil {
			return err
		}
		if err = (*s.server).Boot(ctx); err != nil {
			return err
		}
		if err = (*s.server).writeSettings(x.settings); err != nil {
			return err
		}
	}
	x.say("three servers on a switch: srv1 runs LIM 1, srv2 runs LIM 2, sb1 shall stand by")
	return nil
}

// makeSystem starts the software of both LIMs, which run before there is a cluster, adds the
// servers to a document, and starts the agents.
func (x *site) makeSystem(ctx context.Context) error {
	exchange, err := x.installExchange()
	if err != nil {
		return err
	}
	for i, s := range []*Server{x.srv1, x.srv2} {
		r, err := s.exchange(ctx, exchange, i+1, "start")
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("starting LIM %d on %s: %s%s", i+1, s.Name, r.Out, r.Err)
		}
		if err != nil {
			return err
		}
	}
	if err := x.registerServers(ctx); err != nil {
		return err
	}
	service := "exec:" + exchange
	for _, lim := range []string{"1", "2"} {
		if err := x.mx(ctx, x.srv1, "lim", "set", lim, "--service", service); err != nil {
			return err
		}
	}
	return x.startAgents(ctx)
}

// registerServers creates the document of a system of three servers.
func (x *site) registerServers(ctx context.Context) error {
	for _, args := range [][]string{
		{"init", "--server", "srv1", "--base", x.srv1.base.String(), "--interface", serverInterface, "--lim", "1"},
		{"server", "add", "srv2", "--base", x.srv2.base.String(), "--interface", serverInterface, "--lim", "2"},
		{"server", "add", "sb1", "--base", x.standby.base.String(), "--interface", serverInterface},
		{"server", "to-standby", "sb1"},
	} {
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	return nil
}

// startAgents starts the first agent, and lets the other servers join it.
func (x *site) startAgents(ctx context.Context) error {
	if err := x.startAgent(ctx, x.srv1); err != nil {
		return err
	}
	key := filepath.Join(x.srv1.dir, "etc", "gossip.key")
	for _, s := range []*Server{x.srv2, x.standby} {
		if err := x.mx(ctx, s, "join", x.srv1.base.Addr().String(), "--key-file", key); err != nil {
			return err
		}
		if err := x.startAgent(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// startAgent starts an agent and waits until it answers.
func (x *site) startAgent(ctx context.Context, s *Server) error {
	x.say("%s# mxcluster agent run &", s.Name)
	if err := s.StartAgent(ctx); err != nil {
		return err
	}
	return s.awaitAgent(ctx)
}

// connectClient starts the client of LIM 1, and the watcher.
func (x *site) connectClient(ctx context.Context) error {
	address := x.srv1.base.Addr()
	var err error
	if x.caller, err = x.AddCaller(address); err != nil {
		return err
	}
	if x.watcher, err = x.AddWatcher(address, x.asking); err != nil {
		return err
	}
	x.say("a phone calls %s every %s; beside it ARP asks who has that address", address, callEvery)
	return x.caller.WaitAnswer(ctx, "srv1", time.Now())
}

// create creates the cluster: the bases of srv1 and srv2 become the aliases of their LIMs. It
// returns when both LIMs run under their agents.
func (x *site) create(ctx context.Context, failoverAfter time.Duration, more ...string) error {
	bases := []netip.Prefix{x.address(21), x.address(22)}
	args := append([]string{
		"create", "c1", "--standby", "sb1", "--failover-after", failoverAfter.String(),
		"--lim", "1=" + bases[0].Addr().String(), "--lim", "2=" + bases[1].Addr().String(),
	}, more...)
	if err := x.mx(ctx, x.srv1, args...); err != nil {
		return err
	}
	for i, s := range []*Server{x.srv1, x.srv2} {
		s.SetBase(bases[i])
		if err := awaitLIM(ctx, x.standby, i+1, "runs on "+s.Name, runsOn(s.Name)); err != nil {
			return err
		}
	}
	return nil
}

// cutPower cuts the power of srv1 and returns when the standby answers the client.
func (x *site) cutPower(ctx context.Context) error {
	x.say("srv1 loses its power")
	cut := time.Now()
	if err := x.srv1.PowerCut(); err != nil {
		return err
	}
	return x.caller.WaitAnswer(ctx, x.standby.Name, cut)
}

// mx prints a command, runs it on a server, and prints its output.
func (x *site) mx(ctx context.Context, s *Server, args ...string) error {
	x.say("%s# mxcluster %s", s.Name, strings.Join(args, " "))
	out, err := s.Mxcluster(ctx, args...)
	x.show(out)
	return err
}

// writeSettings writes the server's mxcluster.yaml, with the lab instead of ssh.
func (s *Server) writeSettings(more string) error {
	settings := fmt.Sprintf("xdata:\n  still: 1s\nsync:\n  rsh: >-\n    '%s' lab exec --lab '%s' {server} --\n%s", s.lab.Exe, s.lab.Dir, more)
	path := filepath.Join(s.dir, "etc", "mxcluster.yaml")
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		return fmt.Errorf("writing the settings of %s: %w", s.Name, err)
	}
	return nil
}

// writeData creates a folder with some files, like the data of a LIM.
func (s *Server) writeData(files int) (path string, err error) {
	path = filepath.Join(s.dir, "data")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("writing data: %w", err)
	}
	for i := range files {
		text := strings.Repeat(fmt.Sprintf("extension %d\n", 1000+i), 1000)
		if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("extensions-%d", i)), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing data: %w", err)
		}
	}
	return path, nil
}

// address returns one of the site's addresses.
func (x *site) address(host byte) netip.Prefix {
	if x.ipv6 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 15: host}), 64) // RFC 3849
	}
	return labAddress(host)
}

// labAddress returns an address of a range for documentation (RFC 5737).
func labAddress(host byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 24)
}
