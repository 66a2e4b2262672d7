//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// benchIdle measures what the agents of a cluster of ten regular servers and a
// standby use when nothing happens.
func benchIdle(ctx context.Context, l *Lab) error {
	servers, err := newEleven(ctx, l)
	if err != nil {
		return err
	}
	if err := wait(ctx, 10*time.Second); err != nil {
		return err
	}
	before := map[*Server]usage{}
	for _, s := range servers {
		if before[s], err = s.agentUsage(ctx); err != nil {
			return err
		}
	}
	from := time.Now()
	if err := wait(ctx, benchTime()); err != nil {
		return err
	}
	var most usage
	var sum time.Duration
	spent := time.Since(from)
	for _, s := range servers {
		after, err := s.agentUsage(ctx)
		if err != nil {
			return err
		}
		used := after.cpu - before[s].cpu
		sum, most.cpu, most.rss = sum+used, max(most.cpu, used), max(most.rss, after.rss)
	}
	perMinute := func(d time.Duration) string {
		return fmt.Sprintf("%.2f CPU-s a minute", d.Seconds()*60/spent.Seconds())
	}
	row("idle agent, cluster of eleven, default settings", "most "+perMinute(most.cpu), "mean "+perMinute(sum/time.Duration(len(servers))),
		fmt.Sprintf("RSS at most %.1f MB", float64(most.rss)/1e6))
	return nil
}

// newEleven makes a cluster of ten regular servers and a standby, with agents.
func newEleven(ctx context.Context, l *Lab) ([]*Server, error) {
	const regulars = 10
	x := &site{Lab: l, narrator: newNarrator(os.Stdout, os.Getenv("MXCLUSTER_BENCH_VERBOSE") == "")}
	var all []*Server
	create := []string{"create", "c1", "--standby", "sb1"}
	for i := range regulars + 1 {
		name := fmt.Sprintf("srv%d", i+1)
		if i == regulars {
			name = "sb1"
		}
		s, err := l.AddServer(name, labAddress(byte(11+i)))
		if err == nil {
			err = s.Boot(ctx)
		}
		if err == nil {
			err = s.writeSettings("")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	for i, s := range all {
		args := []string{"server", "add", s.Name, "--base", s.base.String(), "--interface", serverInterface}
		if i == 0 {
			args = append([]string{"init", "--server", s.Name}, args[3:]...)
		}
		if s.Name != "sb1" {
			args = append(args, "--lim", fmt.Sprint(i+1))
			create = append(create, "--lim", fmt.Sprintf("%d=%s", i+1, labAddress(byte(41+i)).Addr()))
		}
		if err := x.mx(ctx, all[0], args...); err != nil {
			return nil, err
		}
	}
	if err := x.mx(ctx, all[0], "server", "to-standby", "sb1"); err != nil {
		return nil, err
	}
	for i, s := range all {
		if i > 0 {
			if err := x.mx(ctx, s, "join", all[0].base.Addr().String(), "--key-file", filepath.Join(all[0].dir, "etc", "gossip.key")); err != nil {
				return nil, err
			}
		}
		if err := x.startAgent(ctx, s); err != nil {
			return nil, err
		}
	}
	return all, x.mx(ctx, all[0], append(create, "--wait")...)
}

// usage is what a process has used.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
}

// agentUsage reads what a server's agent has used.
func (s *Server) agentUsage(ctx context.Context) (usage, error) {
	out, _, err := shell(ctx, s, fmt.Sprintf("cat /proc/%d/stat", s.agent.pid))
	if err != nil {
		return usage{}, err
	}
	_, rest, _ := strings.Cut(out, ") ")
	fields := strings.Fields(rest)
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("reading what the agent of %s used: %q", s.Name, out)
	}
	var n [3]int64
	for i, at := range []int{11, 12, 21} { // utime, stime, rss in pages
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return usage{}, err
		}
	}
	return usage{cpu: time.Duration(n[0]+n[1]) * 10 * time.Millisecond, rss: n[2] * int64(os.Getpagesize())}, nil
}
