//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deletionsEnv says how often a preloaded pair is deleted without and with a power
// cut; by default it is so twice.
const deletionsEnv = "MXCLUSTER_TEST_DELETIONS"

func TestDeletePair(t *testing.T) {
	t.Parallel()
	runScenario(t, "delete-pair", program(t))
}

// deletePairScenario deletes a preloaded cluster of the only two servers of a system,
// again and again: as it is, and with the power of either server cut when a step of
// it shows in the document. The clients' address is never on two servers.
func deletePairScenario(ctx context.Context, l *Lab) error {
	x, err := newPair(ctx, l)
	if err != nil {
		return err
	}
	times, _ := strconv.Atoi(os.Getenv(deletionsEnv))
	var f findings
	cuts := []func() (*Server, string){
		func() (*Server, string) { return nil, "" },
		func() (*Server, string) { return x.srv1, "leaving: true" },
		func() (*Server, string) { return x.standby, "reachedAt:" },
		func() (*Server, string) { return x.standby, "leaving: true" },
		func() (*Server, string) { return x.srv1, "reachedAt:" },
	}
	for i := range max(times, 2) {
		victim, step := cuts[i%len(cuts)]()
		f.noError(x.loadPair(ctx), "loading")
		from := time.Now()
		what := "deletion " + strconv.Itoa(i+1)
		if victim == nil {
			f.noError(x.mx(ctx, x.srv1, "delete", "c1", "--yes", "--wait"), what)
		} else {
			what += fmt.Sprintf(", the power of %s cut at %q", victim.Name, step)
			f.noError(x.deleteCut(ctx, victim, step), what)
		}
		f.noError(within(ctx, 2*testStep, x.awaitDeleted), what)
		x.srv1.SetBase(labAddress(11))
		f.noError(x.caller.WaitAnswer(ctx, "srv1", time.Now()), what)
		f.noError(x.checkSeparate(), what)
		h, s := x.watcher.Between(from, time.Now()), x.caller.Between(from, time.Now())
		x.say("%s: took %s, silence %s, %d of %d calls lost, served by %q", what, time.Since(from).Round(time.Millisecond), s.Silence.Round(time.Millisecond), s.Lost, s.Calls, s.By)
		f.check(h.Twice == 0, "%s: %d of %d ARP requests were answered by two hosts", what, h.Twice, h.Requests)
		if len(f.all) > 0 {
			break
		}
	}
	return f.err()
}

// newPair makes a system of two servers.
func newPair(ctx context.Context, l *Lab) (*site, error) {
	x, err := newSite(ctx, l)
	if err != nil {
		return nil, err
	}
	if err := x.mx(ctx, x.srv1, "server", "remove", "srv2", "--wait"); err != nil {
		return nil, err
	}
	return x, x.srv2.PowerCut()
}

// loadPair makes the cluster and waits until the standby has loaded.
func (x *site) loadPair(ctx context.Context) error {
	for _, args := range [][]string{
		{"create", "c1", "--standby", "sb1", "--failover-after", "1s", "--lim", "1=192.0.2.21", "--wait"},
		{"preload", "c1", "--wait"},
	} {
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	x.srv1.SetBase(labAddress(21))
	return x.awaitPreloaded(ctx, x.standby, "srv1")
}

// deleteCut begins a deletion, cuts a server's power when a step of it shows in that
// server's document, and gives the power back.
func (x *site) deleteCut(ctx context.Context, victim *Server, step string) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = x.srv1.Mxcluster(ctx, "delete", "c1", "--yes") // which may lose its power, too
	}()
	file := filepath.Join(victim.Dir(), "etc", "cluster.yaml")
	for shown := false; !shown && ctx.Err() == nil; {
		text, err := os.ReadFile(file)
		shown = err == nil && (strings.Contains(string(text), step) || !strings.Contains(string(text), "clusters:"))
	}
	if err := victim.PowerCut(); err != nil {
		return err
	}
	if err := victim.Boot(ctx); err != nil {
		return err
	}
	err := x.startAgent(ctx, victim)
	<-ended
	return err
}

// awaitDeleted waits until both servers have a document without the cluster and
// without former bases. A LIM that was taken over before the standby knew that it
// leaves is brought back.
func (x *site) awaitDeleted(ctx context.Context) error {
	back := time.Now().Add(5 * time.Second)
	return poll(ctx, "the cluster is gone on both servers", func() bool {
		gone := true
		for _, s := range []*Server{x.srv1, x.standby} {
			text, err := os.ReadFile(filepath.Join(s.Dir(), "etc", "cluster.yaml"))
			gone = gone && err == nil && !strings.Contains(string(text), "clusters:") && !strings.Contains(string(text), "reachedAt:")
		}
		if !gone && time.Now().After(back) {
			back = time.Now().Add(5 * time.Second)
			_, _ = x.standby.Mxcluster(ctx, "fallback", "1") // refused unless it is there, and ready
		}
		return gone
	})
}

// checkSeparate checks that the clients' address is on the regular server alone, and that the
// other one keeps nothing of it.
func (x *site) checkSeparate() error {
	var f findings
	alias := labAddress(11)
	have, err := x.srv1.addresses()
	f.check(err == nil && slices.Contains(have, alias), "srv1 has %v: %v", have, err)
	have, err = x.standby.addresses()
	f.check(err == nil && slices.Equal(have, []netip.Prefix{x.standby.base}), "sb1 has %v: %v", have, err)
	blocked, err := x.standby.blocked()
	f.check(err == nil && len(blocked) == 0, "sb1 blocks %v: %v", blocked, err)
	return f.err()
}
