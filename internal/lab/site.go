//go:build linux

package lab

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// site is a lab with a system for a cluster of two LIMs, or another number: regular servers, a
// standby, the LIMs' software, and a client of LIM 1. The demonstration, the lab that stays up and
// the tests create it with ordinary commands.
type site struct {
	*Lab
	*narrator
	lims     int           // number of LIMs; 0: two
	settings string        // added to every server's mxcluster.yaml
	asking   time.Duration // interval of the watcher's requests
	ipv6     bool          // the servers have IPv6 addresses

	regulars            []*Server // of LIM 1, LIM 2 …
	srv1, srv2, standby *Server   // srv2 is nil with one LIM
	caller              *Caller
	watcher             *Watcher
}

// build creates the servers and switches them on.
func (x *site) build(ctx context.Context) (err error) {
	var runs []string
	for i := range cmp.Or(x.lims, 2) {
		s, err := x.bootServer(ctx, fmt.Sprintf("srv%d", i+1), byte(11+i))
		if err != nil {
			return err
		}
		x.regulars = append(x.regulars, s)
		runs = append(runs, fmt.Sprintf("%s runs LIM %d", s.Name, i+1))
	}
	x.srv1 = x.regulars[0]
	if len(x.regulars) > 1 {
		x.srv2 = x.regulars[1]
	}
	if x.standby, err = x.bootServer(ctx, "sb1", 31); err != nil {
		return err
	}
	x.say("%d servers on a switch: %s, sb1 shall stand by", len(runs)+1, strings.Join(runs, ", "))
	return nil
}

// bootServer adds a server with settings, and switches it on.
func (x *site) bootServer(ctx context.Context, name string, host byte) (*Server, error) {
	s, err := x.AddServer(name, x.address(host))
	if err != nil {
		return nil, err
	}
	if err := s.Boot(ctx); err != nil {
		return nil, err
	}
	return s, s.writeSettings(x.settings)
}

// makeSystem starts the software of the LIMs, which run before there is a cluster, adds the servers
// to a document, and starts the agents.
func (x *site) makeSystem(ctx context.Context) error {
	exchange, err := x.installExchange()
	if err != nil {
		return err
	}
	for i, s := range x.regulars {
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
	for i := range x.regulars {
		if err := x.mx(ctx, x.srv1, "lim", "set", strconv.Itoa(i+1), "--service", service); err != nil {
			return err
		}
	}
	return x.startAgents(ctx)
}

// registerServers creates the document of a system of all servers.
func (x *site) registerServers(ctx context.Context) error {
	for i, s := range x.regulars {
		args := []string{"server", "add", s.Name, "--base", s.base.String(), "--interface", serverInterface, "--lim", strconv.Itoa(i + 1)}
		if i == 0 {
			args = append([]string{"init", "--server", s.Name}, args[3:]...)
		}
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
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
	for _, s := range append(slices.Clone(x.regulars[1:]), x.standby) {
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

// create creates the cluster: the bases of the regular servers become the aliases of their LIMs. It
// returns when all LIMs run under their agents.
func (x *site) create(ctx context.Context, failoverAfter time.Duration, more ...string) error {
	args := []string{"create", "c1", "--standby", "sb1", "--failover-after", failoverAfter.String()}
	for i := range x.regulars {
		args = append(args, "--lim", fmt.Sprintf("%d=%s", i+1, x.address(byte(21+i)).Addr()))
	}
	if err := x.mx(ctx, x.srv1, append(args, more...)...); err != nil {
		return err
	}
	for i, s := range x.regulars {
		s.SetBase(x.address(byte(21 + i)))
		if err := awaitLIM(ctx, x.standby, i+1, "runs on "+s.Name, runsOn(s.Name)); err != nil {
			return err
		}
	}
	return nil
}

// backUpAll makes a data version of each LIM, which the agents copy to the standby.
func (x *site) backUpAll(ctx context.Context) error {
	for i, s := range x.regulars {
		from, err := s.writeData(20)
		if err != nil {
			return err
		}
		if err := x.mx(ctx, s, "xdata", "backup", "--lim", strconv.Itoa(i+1), "--from", from); err != nil {
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
