//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// benchDrain takes each server of a cluster of three out of service, one after the other,
// under calls of both LIMs every 5 ms: by drains, by locks, and beside that by planned moves. It
// prints the longest silence that a caller heard, and how many commands it took.
func benchDrain(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l, "--fallback", "automatic")
	if err != nil {
		return err
	}
	client, err := x.network.addClient("second-phone", clientMAC(7), labAddress(107))
	if err != nil {
		return err
	}
	var second *Caller
	if err := client.Do(func() error {
		second, err = newCaller(labAddress(12).Addr(), callEvery)
		return err
	}); err != nil {
		return err
	}
	x.Go(second.Run)
	if err := second.WaitAnswer(ctx, "srv2", time.Now()); err != nil {
		return err
	}
	b := drainBench{site: x, callers: [2]*Caller{x.caller, second}}
	for _, way := range []struct {
		name string
		do   func(ctx context.Context, s *Server, lim int) error
		all  []int // LIMs of the servers that it is done for; 0: the standby
	}{
		{"server drain, server undrain", b.drain, []int{1, 2, 0}},
		{"lock, unlock of each LIM", b.lock, []int{1, 2, 0}},
		{"failover, fallback: planned moves", b.move, []int{1, 2}},
	} {
		runs := benchNumber("RUNS", 3)
		b.commands, b.silences = 0, nil
		for range runs {
			for _, lim := range way.all {
				if err := b.measure(ctx, lim, way.do); err != nil {
					return fmt.Errorf("%s: %w", way.name, err)
				}
			}
		}
		row(way.name, fmt.Sprintf("%d commands for all servers", b.commands/runs), "longest silence of a server: "+spread(b.silences))
	}
	return nil
}

type drainBench struct {
	*site
	callers  [2]*Caller
	commands int
	silences []time.Duration // the longest of both callers, for each server
}

// run runs one command that a person would type.
func (b *drainBench) run(ctx context.Context, s *Server, args ...string) error {
	b.commands++
	return b.mx(ctx, s, args...)
}

// measure takes one server out of service and back, and notes the longest silence.
func (b *drainBench) measure(ctx context.Context, lim int, do func(ctx context.Context, s *Server, lim int) error) error {
	s := b.serverOfLIM(lim)
	from := time.Now()
	err := do(ctx, s, lim)
	for i := range b.callers {
		err = errors.Join(err, b.await(ctx, i+1, b.serverOfLIM(i+1).Name), b.callers[i].Settle(ctx))
	}
	if err != nil {
		return err
	}
	to := time.Now()
	b.silences = append(b.silences, max(b.callers[0].Between(from, to).Silence, b.callers[1].Between(from, to).Silence))
	return nil
}

func (b *drainBench) serverOfLIM(lim int) *Server { return []*Server{b.standby, b.srv1, b.srv2}[lim] }

// away waits until a LIM is on the standby, if there is one.
func (b *drainBench) away(ctx context.Context, lim int) error {
	if lim == 0 {
		return nil
	}
	return b.await(ctx, lim, b.standby.Name)
}

func (b *drainBench) drain(ctx context.Context, s *Server, lim int) error {
	if err := b.run(ctx, s, "server", "drain", s.Name, "--wait"); err != nil {
		return err
	}
	return errors.Join(b.away(ctx, lim), b.run(ctx, s, "server", "undrain", s.Name))
}

// lock does so by locks: of its LIM to the standby, or of all LIMs to their own servers.
func (b *drainBench) lock(ctx context.Context, s *Server, lim int) error {
	lims, args := []int{lim}, []string{"--to", "standby", "--move"}
	if lim == 0 {
		lims, args = []int{1, 2}, []string{"--to", "regular"}
	}
	for _, n := range lims {
		if err := b.run(ctx, s, append([]string{"lock", fmt.Sprint(n)}, args...)...); err != nil {
			return err
		}
	}
	if err := b.away(ctx, lim); err != nil {
		return err
	}
	for _, n := range lims {
		if err := b.run(ctx, s, "unlock", fmt.Sprint(n)); err != nil {
			return err
		}
	}
	return nil
}

func (b *drainBench) move(ctx context.Context, s *Server, lim int) error {
	if err := b.run(ctx, s, "failover", fmt.Sprint(lim), "--wait"); err != nil {
		return err
	}
	return b.run(ctx, b.standby, "fallback", fmt.Sprint(lim), "--wait")
}
