//go:build linux

package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// oldEnv names an mxcluster program of an earlier version, from which the servers are
// upgraded one after the other; by default they are restarted with the same one.
const oldEnv = "MXCLUSTER_TEST_OLD_BINARY"

func TestRollingUpgrade(t *testing.T) { runScenario(t, "upgrade", program(t)) }

// upgradeScenario: the agents of a cluster are replaced by those of another version,
// server by server and the standby first, while a client calls. No call is lost; what
// the former version left, documents, state and data, is gone on with; and in between
// servers of both versions edit one document and copy each other's data.
func upgradeScenario(ctx context.Context, l *Lab) error {
	old := cmp.Or(os.Getenv(oldEnv), l.Exe)
	x := newEmptySite(l)
	for _, step := range []func(context.Context) error{x.build,
		func(context.Context) error { return x.install(old, x.srv1, x.srv2, x.standby) },
		x.makeSystem, x.connectClient, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) },
	} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	var f findings
	x.backUp(ctx, &f, 3)
	f.noError(x.mx(ctx, x.srv2, "lock", "2", "--to", "regular", "--reason", "kept by an upgrade"), "lock")
	before, err := limStatus(ctx, x.standby, 1)
	if err != nil {
		return err
	}
	from := time.Now()
	for i, s := range []*Server{x.standby, x.srv2, x.srv1} {
		f.noError(x.upgrade(ctx, s, l.Exe), "upgrading "+s.Name)
		f.noError(x.awaitAgreement(ctx), "after upgrading "+s.Name)
		f.noError(x.mx(ctx, s, "change", "c1", "--priority", fmt.Sprintf("1=%d", 10+i), "--reason", "by "+s.Name), "an edit on "+s.Name)
		f.noError(x.mx(ctx, x.srv1, "change", "c1", "--priority", "1=7", "--reason", "by srv1"), "an edit on srv1")
		f.noError(x.awaitAgreement(ctx), "after edits on "+s.Name+" and srv1")
		x.backUp(ctx, &f, 4+i)
	}
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "calling")
	s, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	x.say("%d of %d calls lost, silence %s", s.Lost, s.Calls, s.Silence)
	f.check(s.Lost == 0, "%d of %d calls lost by an upgrade", s.Lost, s.Calls)
	f.check(slices.Equal(s.By, []string{"srv1"}), "calls answered by %q, want srv1 alone", s.By)
	f.check(h.Twice == 0 && len(h.By) == 1, "alias held by %q, %d times by two", h.By, h.Twice)

	after, err := limStatus(ctx, x.standby, 1)
	f.check(err == nil && after.Term == before.Term, "term %d before, %d after, %v", before.Term, after.Term, err)
	lock, err := limStatus(ctx, x.standby, 2)
	f.check(err == nil && lock.Lock != nil && lock.Lock.Reason == "kept by an upgrade", "the lock of LIM 2: %+v, %v", lock, err)
	for _, server := range []*Server{x.srv1, x.standby} {
		out, err := server.Mxcluster(ctx, "xdata", "list", "--lim", "1", "-o", "json")
		var list struct{ Versions []struct{ Complete bool } }
		if f.noError(cmp.Or(err, json.Unmarshal(out, &list)), "versions of "+server.Name) {
			f.check(len(list.Versions) > 0 && !slices.Contains(list.Versions, struct{ Complete bool }{}), "versions of %s: %s", server.Name, out)
		}
		f.noError(x.mx(ctx, server, "xdata", "verify", "--lim", "1"), "versions of "+server.Name)
	}
	// The LIM moves as ever.
	f.noError(x.mx(ctx, x.srv1, "failover", "1", "--wait"), "failover")
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	f.noError(x.await(ctx, 1, "srv1"), "fallback")
	return f.err()
}

// install has servers find this program as mxcluster.
func (x *site) install(program string, servers ...*Server) error {
	for _, s := range servers {
		link := filepath.Join(s.dir, "bin", "mxcluster")
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			return err
		}
		if err := os.Symlink(program, link+".new"); err != nil {
			return err
		}
		if err := os.Rename(link+".new", link); err != nil {
			return err
		}
	}
	return nil
}

// upgrade replaces the program of a server and restarts its agent, as a package does.
func (x *site) upgrade(ctx context.Context, s *Server, program string) error {
	if err := x.install(program, s); err != nil {
		return err
	}
	x.say("%s# systemctl restart mxcluster-agent", s.Name)
	if err := s.SignalAgent(ctx, unix.SIGTERM); err != nil {
		return err
	}
	if code, err := s.agent.wait(ctx); err != nil || code != int(fault.OK) {
		return fmt.Errorf("the agent of %s ended with code %d: %w", s.Name, code, err)
	}
	return x.startAgent(ctx, s)
}

// awaitAgreement waits until all servers have one document, by hash, and hear each other.
func (x *site) awaitAgreement(ctx context.Context) error {
	return poll(ctx, "all servers have one document", func() bool {
		hashes := map[string]bool{}
		for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
			out, err := s.Mxcluster(ctx, "list", "-o", "json")
			var list status.ClusterList
			if err != nil || json.Unmarshal(out, &list) != nil {
				return false
			}
			hashes[list.Hash] = true
			l, err := limStatus(ctx, s, 1)
			if err != nil || !runsOn("srv1")(l) {
				return false
			}
		}
		return len(hashes) == 1
	})
}

// backUp makes a version of so many files of LIM 1's, and waits until the standby has it.
func (x *site) backUp(ctx context.Context, f *findings, files int) {
	from, err := x.srv1.writeData(files)
	if !f.noError(err, "data") {
		return
	}
	f.noError(x.mx(ctx, x.srv1, "xdata", "backup", "--lim", "1", "--from", from, "--no-sync"), "backup")
	f.noError(x.mx(ctx, x.srv1, "sync", "--lim", "1"), "sync from srv1")
	f.noError(poll(ctx, "the standby has the data of srv1", func() bool {
		l, err := limStatus(ctx, x.standby, 1)
		return err == nil && l.Data != nil && l.Data.InSync != nil && *l.Data.InSync
	}), "sync")
}
