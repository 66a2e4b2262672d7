//go:build linux

package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

const (
	// recordEnv names a folder, which must not exist, that gets what the program writes and says.
	recordEnv = "MXCLUSTER_TEST_RECORD"
	// listenerEnv names the program of package member's tests, which listens to gossip.
	listenerEnv = "MXCLUSTER_LAB_TEST_LISTENER"
)

// TestRecordInputs records what a version of the program writes into its files and says to other
// processes, in a cluster in which something happens: those are inputs that every later version
// must read (package compat). It is run on demand, at a release.
func TestRecordInputs(t *testing.T) {
	if os.Getenv(recordEnv) == "" {
		return
	}
	if _, err := os.Stat(os.Getenv(recordEnv)); err == nil {
		t.Fatalf("%s exists: what was recorded is not written again", os.Getenv(recordEnv))
	}
	listener := filepath.Join(t.TempDir(), "member.test")
	if out, err := exec.Command("go", "test", "-c", "-o", listener, "mxcluster/internal/member").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv(listenerEnv, listener)
	runScenario(t, "record", program(t))
}

// recorder is a site of which everything is written down.
type recorder struct {
	*site
	f       findings
	to      string // folder of what is recorded
	dialogs string // folder in which the remote shell writes what goes through it
}

func recordScenario(ctx context.Context, l *Lab) error {
	r := &recorder{site: newEmptySite(l), to: os.Getenv(recordEnv), dialogs: filepath.Join(l.Dir, "dialogs")}
	if err := os.Mkdir(r.dialogs, 0o700); err != nil {
		return err
	}
	old := cmp.Or(os.Getenv(oldEnv), l.Exe)
	for _, step := range []func(context.Context) error{r.build,
		func(context.Context) error { return r.install(old, r.srv1, r.srv2, r.standby) },
		func(context.Context) error { return r.listenToSyncs() },
		r.makeSystem, r.connectClient, r.gossipBefore, r.work, r.data, r.move, r.ask, r.gossip,
	} {
		if err := within(ctx, 2*time.Minute, step); err != nil {
			return errors.Join(err, r.f.err())
		}
	}
	return r.f.err()
}

// listenToSyncs has all that goes through the remote shell written down as well.
func (r *recorder) listenToSyncs() error {
	shell := filepath.Join(r.Dir, "listening-shell")
	text := fmt.Sprintf("#!/bin/sh\nto=%s/$(hostname)-$$\ntee \"$to.client\" | \"$@\" | tee \"$to.server\"\ncode=$?\n: >\"$to.ended\"\nexit $code\n", r.dialogs)
	if err := os.WriteFile(shell, []byte(text), 0o700); err != nil {
		return err
	}
	for _, s := range []*Server{r.srv1, r.srv2, r.standby} {
		path := filepath.Join(s.dir, "etc", "mxcluster.yaml")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b = bytes.Replace(b, []byte("'"+r.Exe+"'"), []byte("'"+shell+"' '"+r.Exe+"'"), 1)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// work makes a cluster, and a history of documents.
func (r *recorder) work(ctx context.Context) error {
	r.say("work")
	bases := []netip.Prefix{r.address(21), r.address(22)}
	if err := r.through(ctx, r.srv1, "create", "c1", "--standby", "sb1", "--failover-after", testFailoverAfter.String(),
		"--lim", "1="+bases[0].Addr().String(), "--lim", "2="+bases[1].Addr().String()); err != nil {
		return err
	}
	for i, s := range []*Server{r.srv1, r.srv2} {
		s.SetBase(bases[i])
		if err := awaitLIM(ctx, r.standby, i+1, "runs on "+s.Name, runsOn(s.Name)); err != nil {
			return err
		}
	}
	for _, edit := range [][]string{
		{"lock", "2", "--to", "regular", "--reason", "work on the power", "--for", "100h"},
		{"change", "c1", "--priority", "1=7", "--fallback", "automatic"},
		{"change", "c1", "--fallback", "manual", "--fallback-window", "02:00-04:00"},
		{"server", "drain", "sb1", "--for", "100h", "--reason", "new memory"},
		{"server", "undrain", "sb1"},
		{"freeze", "c1", "--for", "100h", "--reason", "switches are exchanged"},
		{"unfreeze", "c1"},
		{"unlock", "2"},
	} {
		r.f.noError(r.through(ctx, r.srv2, edit...), "edit")
	}
	r.f.noError(r.awaitAgreement(ctx), "edits")
	r.f.noError(r.copyAll(map[string]string{
		filepath.Join(r.srv1.dir, "state", "history"):       "documents",
		filepath.Join(r.srv1.dir, "etc", "cluster.yaml"):    "documents/cluster.yaml",
		filepath.Join(r.srv1.dir, "etc", "mxcluster.yaml"):  "settings/mxcluster.yaml",
		filepath.Join(r.standby.dir, "state", "agent.json"): "states/standby-free.json",
	}), "documents")
	return nil
}

// data copies data between the servers, each way. The agents may be faster than the commands: of
// what was said the longest counts, in which data was sent.
func (r *recorder) data(ctx context.Context) error {
	r.say("data")
	for i, sync := range []struct {
		name string
		on   *Server
	}{{"push", r.srv1}, {"push-again", r.srv1}, {"pull", r.standby}} {
		from := filepath.Join(r.srv1.dir, "data")
		if err := r.writeData(from, 2+i); err != nil {
			return err
		}
		before, err := r.dialogues()
		if err != nil {
			return err
		}
		r.f.noError(r.copyAll(map[string]string{filepath.Join(r.standby.dir, "state", "xdata"): "transfer/" + sync.name + "/standby-before"}), "the store")
		if err := r.mx(ctx, r.srv1, "xdata", "backup", "--lim", "1", "--from", from, "--no-sync"); err != nil {
			return err
		}
		if err := r.mx(ctx, sync.on, "sync", "c1", "--lim", "1"); err != nil {
			return err
		}
		if err := r.keepDialog(ctx, sync.name, before); err != nil {
			return err
		}
	}
	r.f.noError(r.copyAll(map[string]string{
		filepath.Join(r.srv1.dir, "state", "xdata"):    "store/regular",
		filepath.Join(r.standby.dir, "state", "xdata"): "store/standby",
		filepath.Join(r.srv1.dir, "state", "sync"):     "sync",
		filepath.Join(r.srv1.dir, "run", "agent.json"): "states/regular-running.json",
	}), "the stores")
	return nil
}

// dialogues are those that were heard, without an end of their names.
func (r *recorder) dialogues() ([]string, error) {
	found, err := filepath.Glob(filepath.Join(r.dialogs, "*.client"))
	for i := range found {
		found[i] = strings.TrimSuffix(found[i], ".client")
	}
	return found, err
}

// keepDialog keeps the longest of the dialogues that were heard to their ends since, and says who
// asked. It waits for one: an agent may synchronise before a command does, which then has nothing
// to send and ends before the agent has.
func (r *recorder) keepDialog(ctx context.Context, name string, before []string) error {
	longest := ""
	if err := poll(ctx, "sync "+name+" is heard to its end", func() bool {
		found, err := r.dialogues()
		if err != nil {
			return false
		}
		size := int64(1000)
		for _, base := range found {
			client, err1 := os.Stat(base + ".client")
			server, err2 := os.Stat(base + ".server")
			_, err3 := os.Stat(base + ".ended")
			if errors.Join(err1, err2, err3) == nil && !slices.Contains(before, base) && client.Size()+server.Size() > size {
				longest, size = base, client.Size()+server.Size()
			}
		}
		return longest != ""
	}); err != nil {
		return err
	}
	to := "transfer/" + name + "/asked-by-" + strings.Split(filepath.Base(longest), "-")[0]
	return r.copyAll(map[string]string{longest + ".client": to + ".client", longest + ".server": to + ".server"})
}

// writeData creates a folder with some small files.
func (r *recorder) writeData(dir string, files int) error {
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		return err
	}
	for i := range files {
		var text strings.Builder
		for n := range 100 + 200*i {
			fmt.Fprintf(&text, "extension %d has %x\n", n, n*n*n)
		}
		if err := os.WriteFile(filepath.Join(dir, "folder", fmt.Sprintf("extensions-%d", i)), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// move has a LIM taken over and fall back.
func (r *recorder) move(ctx context.Context) error {
	r.say("move")
	if err := poll(ctx, "the standby has the data", func() bool {
		l, err := limStatus(ctx, r.standby, 1)
		return err == nil && l.Data != nil && l.Data.InSync != nil && *l.Data.InSync
	}); err != nil {
		return err
	}
	if err := r.through(ctx, r.srv1, "failover", "1", "--wait", "--reason", "new cable"); err != nil {
		return err
	}
	if err := r.await(ctx, 1, "sb1"); err != nil {
		return err
	}
	r.f.noError(r.copyAll(map[string]string{
		filepath.Join(r.srv1.dir, "run", "agent.json"):    "states/regular-taken-over.json",
		filepath.Join(r.standby.dir, "run", "agent.json"): "states/standby-running.json",
	}), "states")
	r.f.noError(r.askEach(ctx, r.standby, "on-standby-"), "questions")
	if err := r.through(ctx, r.standby, "fallback", "1", "--wait"); err != nil {
		return err
	}
	if err := r.srv2.PowerCut(); err != nil {
		return err
	}
	if err := r.await(ctx, 2, "sb1"); err != nil {
		return err
	}
	r.f.noError(r.askEach(ctx, r.standby, "taken-over-"), "questions")
	r.f.noError(r.copyAll(map[string]string{
		filepath.Join(r.srv1.dir, "state", "events"):      "events/srv1",
		filepath.Join(r.standby.dir, "state", "events"):   "events/sb1",
		filepath.Join(r.standby.dir, "run", "agent.json"): "states/standby-took-over.json",
	}), "events and states")
	if err := r.srv2.Boot(ctx); err != nil {
		return err
	}
	if err := r.startAgent(ctx, r.srv2); err != nil {
		return err
	}
	return poll(ctx, "LIM 2 is back", func() bool {
		return r.mx(ctx, r.standby, "fallback", "2", "--wait") == nil
	})
}

// ask makes the other calls of the agent's socket.
func (r *recorder) ask(ctx context.Context) error {
	r.say("ask")
	r.f.noError(r.askEach(ctx, r.srv1, ""), "questions")
	for _, args := range [][]string{
		{"failover", "1", "--dry-run"},
		{"agent", "reload"},
		{"key", "rotate", "--wait"},
	} {
		r.f.noError(r.through(ctx, r.srv1, args...), "an order")
	}
	for _, args := range [][]string{{"alarms", "notice", "9999"}, {"alarms", "test"}} {
		r.f.check(r.through(ctx, r.srv1, args...) != nil, "%q went well", args)
	}
	return nil
}

func (r *recorder) askEach(ctx context.Context, s *Server, prefix string) error {
	for _, args := range [][]string{
		{"status"}, {"agent", "status"}, {"events"}, {"simulate", "--down", "srv1"}, {"alarms", "list"}, {"key", "show"},
	} {
		if err := r.throughAs(ctx, prefix, s, args...); err != nil {
			return err
		}
	}
	return nil
}

// through runs a command, with what it says to its agent written down.
func (r *recorder) through(ctx context.Context, s *Server, args ...string) error {
	return r.throughAs(ctx, "", s, args...)
}

func (r *recorder) throughAs(ctx context.Context, prefix string, s *Server, args ...string) error {
	dir := filepath.Join(r.Dir, "relay")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	all, err := filepath.Glob(filepath.Join(s.dir, "run", "*"))
	if err != nil {
		return err
	}
	for _, f := range all {
		if filepath.Base(f) != "agent.sock" {
			if err := os.Symlink(f, filepath.Join(dir, filepath.Base(f))); err != nil {
				return err
			}
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		return err
	}
	x := &relay{to: filepath.Join(s.dir, "run", "agent.sock"), dir: filepath.Join(r.to, "control"), prefix: prefix}
	x.wg.Go(func() { x.accept(l) })
	err = r.mx(ctx, s, append([]string{"--run-dir", dir}, args...)...)
	err = errors.Join(err, l.Close())
	x.wg.Wait()
	return errors.Join(err, x.err)
}

// relay hands on what a command and its agent say, and writes it down: one file for each kind of
// call, and one for its answer.
type relay struct {
	to, dir, prefix string

	wg  sync.WaitGroup
	mu  sync.Mutex
	err error
}

func (x *relay) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // the command has ended
		}
		x.wg.Go(func() {
			err := x.hand(conn.(*net.UnixConn))
			x.mu.Lock()
			defer x.mu.Unlock()
			x.err = errors.Join(x.err, err)
		})
	}
}

func (x *relay) hand(client *net.UnixConn) error {
	defer client.Close()
	agent, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: x.to, Net: "unix"})
	if err != nil {
		return err
	}
	defer agent.Close()
	var request, response bytes.Buffer
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(agent, io.TeeReader(client, &request)) // a command may go away
		_ = agent.CloseWrite()
	})
	_, _ = io.Copy(client, io.TeeReader(agent, &response))
	_ = client.Close()
	back.Wait()
	first, _, _ := bytes.Cut(request.Bytes(), []byte("\r\n"))
	words := strings.Fields(string(first))
	if len(words) != 3 {
		return nil // it only looked whether somebody is there
	}
	call, _, _ := strings.Cut(words[1], "?")
	status := strings.Fields(response.String())[1]
	name := x.prefix + words[0] + strings.ReplaceAll(call, "/", "-") + "-" + status
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := os.MkdirAll(x.dir, 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(x.dir, name+".request"), request.Bytes(), 0o644),
		os.WriteFile(filepath.Join(x.dir, name+".response"), response.Bytes(), 0o644))
}

// gossipBefore takes a server's place before there is a cluster, and hears what the others say.
func (r *recorder) gossipBefore(ctx context.Context) error {
	return r.hear(ctx, "before", r.srv2, r.srv1, []*Server{r.srv1, r.standby}, 0, [][]string{
		{"srv1", "create", "c1", "--standby", "sb1", "--lim", "1=192.0.2.21", "--lim", "2=192.0.2.22"},
	})
}

// gossip does so when there is one: in the place of the server of LIM 1, of one with a newer
// document, and while another server is down.
func (r *recorder) gossip(ctx context.Context) error {
	r.say("gossip")
	if err := r.hear(ctx, "in", r.srv1, r.standby, []*Server{r.srv2, r.standby}, 0, [][]string{
		{"sb1", "failover", "1"}, {"srv2", "lock", "2", "--to", "regular"}, {"sb1", "events"}, {"sb1", "failover", "1", "--drain-calls=3s"}, {"sb1", "key", "rotate", "--force"},
	}); err != nil {
		return err
	}
	if err := r.hear(ctx, "newer", r.srv1, r.standby, []*Server{r.srv2, r.standby}, 10, nil); err != nil {
		return err
	}
	if err := r.srv1.PowerCut(); err != nil {
		return err
	}
	if err := r.await(ctx, 1, "sb1"); err != nil {
		return err
	}
	return r.hear(ctx, "alone", r.srv2, r.standby, []*Server{r.standby}, 0, [][]string{{"sb1", "lock", "1", "--to", "standby"}, {"sb1", "failover", "2"}})
}

// hear has a program take the place of a server's agent, while commands are given to the others.
func (r *recorder) hear(ctx context.Context, name string, place, like *Server, others []*Server, age uint64, commands [][]string) error {
	if err := place.SignalAgent(ctx, unix.SIGTERM); err != nil {
		return err
	}
	if _, err := place.agent.wait(ctx); err != nil {
		return err
	}
	keys, err := settings.LoadKeys(filepath.Join(place.dir, "etc", "gossip.key"))
	if err != nil {
		return err
	}
	dir := filepath.Join(r.Dir, "heard-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	const port = 7946
	order := map[string]any{
		"name": place.Name, "bind": netip.AddrPortFrom(place.base.Addr(), port), "key": keys.Secrets()[0], "dir": dir, "like": like.Name, "age": age,
		"peers": map[string]netip.AddrPort{}, "send": []string{`{"type":"document-request"}`, `{"type":"events","id":"2","events":{}}`, `{"type":"order-permit","id":"3","order":{"kind":"failover","lim":2},"revision":1}`},
	}
	for _, s := range others {
		order["peers"].(map[string]netip.AddrPort)[s.Name] = netip.AddrPortFrom(s.base.Addr(), port)
	}
	raw, err := json.Marshal(order)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "order"), raw, 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	listener, err := start(ctx, r.Dir, place.Name, []string{os.Getenv(listenerEnv), "-test.run", "^TestRecord$", "-test.v"},
		[]string{"MXCLUSTER_TEST_RECORD_GOSSIP=" + filepath.Join(dir, "order")}, Stdio{Out: log, Err: log})
	if err != nil {
		return err
	}
	defer listener.close()
	if err := poll(ctx, "the others speak", func() bool {
		all, err := filepath.Glob(filepath.Join(dir, "*-state.json"))
		return err == nil && len(all) >= len(others)
	}); err != nil {
		text, _ := os.ReadFile(log.Name())
		all, _ := filepath.Glob(filepath.Join(dir, "*"))
		return fmt.Errorf("%w: heard are %q: %s", err, all, text)
	}
	for _, c := range commands {
		s := others[slices.IndexFunc(others, func(s *Server) bool { return s.Name == c[0] })]
		if err := r.mx(ctx, s, c[1:]...); err != nil {
			r.say("%v; %s", err, fault.HintOf(err)) // nobody carries it out
		}
	}
	if await := map[string]string{"in": "key", "newer": "document-request"}[name]; await != "" {
		r.f.noError(poll(ctx, "a message "+await+" comes", func() bool {
			all, err := filepath.Glob(filepath.Join(dir, "*-message-"+await+".json"))
			return err == nil && len(all) > 0
		}), name)
	}
	if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
		return err
	}
	if code, err := listener.wait(ctx); err != nil || code != int(fault.OK) {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("listening ended with %d, %w: %s", code, err, text)
	}
	heard, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, h := range heard {
		if err := r.copyAll(map[string]string{h: "gossip/" + name + "/" + filepath.Base(h)}); err != nil {
			return err
		}
	}
	return r.startAgent(ctx, place)
}

// copyAll copies files and folders to places among what is recorded.
func (r *recorder) copyAll(all map[string]string) error {
	for from, to := range all {
		to = filepath.Join(r.to, to)
		info, err := os.Stat(from)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // such as a store with nothing in it yet
		case err != nil:
			return err
		case info.IsDir():
			err = os.CopyFS(to, os.DirFS(from))
			for _, lock := range locks(to) {
				err = errors.Join(err, os.Remove(lock))
			}
		default:
			var b []byte
			if b, err = os.ReadFile(from); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// locks are the files of locks in the copy of a store.
func locks(store string) []string {
	all, _ := filepath.Glob(filepath.Join(store, ".lock-*")) // the pattern is good
	return all
}
