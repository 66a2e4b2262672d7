package arbiter_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/arbiter/etcdtest"
)

const lasts = 2 * time.Second // of keys: the shortest that etcd grants

func open(t *testing.T, urls ...string) *arbiter.Etcd {
	t.Helper()
	e := arbiter.New(arbiter.Config{Endpoints: urls, Prefix: "/mxcluster", System: "TEST"})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// within gives a call a second, as an agent does.
func within[T any](t *testing.T, f func(context.Context) (T, error)) (T, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return f(ctx)
}

func take(t *testing.T, e *arbiter.Etcd, lim int, server string) (arbiter.Key, error) {
	t.Helper()
	return within(t, func(ctx context.Context) (arbiter.Key, error) {
		return e.Take(ctx, lim, arbiter.Key{Server: server, Term: 7, Since: time.Unix(1000, 0).UTC()}, lasts)
	})
}

func renew(t *testing.T, e *arbiter.Etcd, lease int64) error {
	t.Helper()
	_, err := within(t, func(ctx context.Context) (int, error) { return 0, e.Renew(ctx, lease) })
	return err
}

// holders asks who holds which LIM.
func holders(t *testing.T, e *arbiter.Etcd) map[int]string {
	t.Helper()
	keys, err := within(t, e.Keys)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for lim, k := range keys {
		out[lim] = k.Server
	}
	return out
}

func TestEtcdKeysHaveOneHolder(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	a, b := open(t, server.URL), open(t, server.URL)
	mine, err := take(t, a, 1, "srv1")
	if err != nil || mine.Server != "srv1" || mine.Lease == 0 {
		t.Fatalf("took %+v, %v", mine, err)
	}
	theirs, err := take(t, b, 1, "sb1")
	if err != nil || theirs != mine {
		t.Errorf("the other side got %+v, %v, want %+v", theirs, err, mine)
	}
	if _, err := take(t, b, 2, "sb1"); err != nil {
		t.Error(err)
	}
	if got, want := holders(t, b), (map[int]string{1: "srv1", 2: "sb1"}); !maps.Equal(got, want) {
		t.Errorf("holders %v, want %v", got, want)
	}
	again, err := take(t, b, 1, "srv1") // a new run of the agent
	if err != nil || again.Lease == mine.Lease || again.Server != "srv1" {
		t.Errorf("a new run got %+v, %v, want a lease of its own", again, err)
	}
	if _, err := within(t, func(ctx context.Context) (int, error) { return 0, a.Release(ctx, mine.Lease) }); err != nil {
		t.Error(err)
	}
	if got := holders(t, b)[1]; got != "srv1" {
		t.Errorf("the former lease took the key along: it is held by %q", got)
	}
	for range 2 { // the second time there is nothing left to give back
		if _, err := within(t, func(ctx context.Context) (int, error) { return 0, b.Release(ctx, again.Lease) }); err != nil {
			t.Error(err)
		}
	}
	if got := holders(t, b)[1]; got != "" {
		t.Errorf("held by %q after it was given back", got)
	}
	if err := renew(t, b, again.Lease); !errors.Is(err, arbiter.ErrNoKey) {
		t.Errorf("renewing what was given back: %v", err)
	}
}

// TestEtcdLeaseIsReady checks that who waits for a key gets it with the lease that it
// got while waiting, with its whole time before it, and with another one when that
// has run out.
func TestEtcdLeaseIsReady(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	client := etcdtest.Client(t, server)
	leases := func() (ids []int64) {
		t.Helper()
		res, err := client.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range res.Leases {
			ids = append(ids, int64(l.ID))
		}
		return ids
	}
	a, b := open(t, server.URL), open(t, server.URL)
	release := func(lease int64) {
		t.Helper()
		if _, err := within(t, func(ctx context.Context) (int, error) { return 0, a.Release(ctx, lease) }); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := take(t, a, 1, "srv1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if k, err := take(t, b, 1, "sb1"); err != nil || k != mine {
			t.Fatalf("took %+v, %v", k, err)
		}
	}
	waiting := slices.DeleteFunc(leases(), func(id int64) bool { return id == mine.Lease })
	if len(waiting) != 1 {
		t.Fatalf("leases %v while one server waits", waiting)
	}
	release(mine.Lease)
	theirs, err := take(t, b, 1, "sb1")
	if err != nil || theirs.Server != "sb1" || theirs.Lease != waiting[0] {
		t.Errorf("took %+v, %v, want lease %d", theirs, err, waiting[0])
	}
	left, err := client.TimeToLive(t.Context(), clientv3.LeaseID(theirs.Lease), clientv3.WithAttachedKeys())
	if err != nil || len(left.Keys) != 1 {
		t.Errorf("the lease %+v, %v", left, err)
	}

	if _, err := take(t, a, 1, "srv1"); err != nil { // waits in turn
		t.Fatal(err)
	}
	for _, id := range leases() {
		if id != theirs.Lease {
			if _, err := client.Revoke(t.Context(), clientv3.LeaseID(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	release(theirs.Lease)
	again, err := take(t, a, 1, "srv1")
	if err != nil || again.Server != "srv1" || again.Lease == 0 {
		t.Errorf("with the lease run out: took %+v, %v", again, err)
	}
	if err := renew(t, a, again.Lease); err != nil {
		t.Error(err)
	}
}

// TestEtcdSource checks that connections come from the address that is wanted, and
// that closed ones are made anew.
func TestEtcdSource(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var mu sync.Mutex
	from := map[string]bool{}
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			from[in.RemoteAddr().(*net.TCPAddr).IP.String()] = true
			mu.Unlock()
			out, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	var alias atomic.Bool
	e := arbiter.New(arbiter.Config{Endpoints: []string{"http://" + listener.Addr().String()}, Prefix: "/mxcluster", System: "TEST",
		Source: func(chosen netip.Addr) netip.Addr {
			if alias.Load() {
				return netip.MustParseAddr("127.0.0.2")
			}
			return chosen
		}})
	t.Cleanup(func() { _ = e.Close() })
	for as, want := range map[bool]string{false: "127.0.0.1", true: "127.0.0.2"} {
		alias.Store(as)
		mu.Lock()
		clear(from)
		mu.Unlock()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := within(t, e.Keys); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if len(from) != 1 || !from[want] {
			t.Errorf("connections from %v while the chosen address is an alias: %t", from, as)
		}
		mu.Unlock()
	}
}

func TestEtcdKeysOfOthersAreHeld(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	client := etcdtest.Client(t, server)
	for key, value := range map[string]string{"/mxcluster/TEST/lim/3": "maintenance", "/mxcluster/TEST/lim/readme": "x", "/mxcluster/OTHER/lim/4": "{}"} {
		if _, err := client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, server.URL)
	if got, want := holders(t, e), (map[int]string{3: "somebody unknown"}); !maps.Equal(got, want) {
		t.Errorf("holders %v, want %v", got, want)
	}
	if k, err := take(t, e, 3, "srv1"); err != nil || k.Server != "somebody unknown" {
		t.Errorf("took %+v, %v", k, err)
	}
}

// TestEtcdLetsKeysGoLate checks what the proof rests on: a key is there for its
// time after the last renewal was sent, at least.
func TestEtcdLetsKeysGoLate(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	a, b := open(t, server.URL), open(t, server.URL)
	mine, err := take(t, a, 1, "srv1")
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	if err := renew(t, a, mine.Lease); err != nil {
		t.Fatal(err)
	}
	for {
		asked := time.Now()
		k, err := take(t, b, 1, "sb1")
		if err != nil {
			t.Fatal(err)
		}
		if k.Server == "sb1" {
			t.Logf("free %s after the last renewal was sent", time.Since(sent).Round(time.Millisecond))
			if early := lasts - time.Since(sent); early > 0 {
				t.Errorf("the key was let go %s before its time", early)
			}
			return
		}
		if asked.Sub(sent) > 30*time.Second {
			t.Fatal("the key is never let go")
		}
	}
}

// TestEtcdRestart checks that a key outlives a restart of etcd, and that the
// arbiter is found again.
func TestEtcdRestart(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	e := open(t, server.URL)
	mine, err := take(t, e, 1, "srv1")
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	err = renew(t, e, mine.Lease)
	if err == nil || errors.Is(err, arbiter.ErrNoKey) {
		t.Errorf("renewing while etcd is down: %v", err)
	}
	t.Log(err)
	_, err = within(t, e.Keys)
	if err == nil || !strings.HasPrefix(err.Error(), "asking etcd: ") || strings.Contains(err.Error(), "no answer") || strings.Contains(err.Error(), "rpc error") {
		t.Errorf("asking while etcd is down: %v", err)
	}
	t.Log(err)
	down := time.Now()
	server.Start()
	for renew(t, e, mine.Lease) != nil {
		if time.Since(down) > 30*time.Second {
			t.Fatal("the key was not renewed after the restart")
		}
	}
	t.Logf("renewed %s after etcd was started again", time.Since(down).Round(time.Millisecond))
	if got := holders(t, e)[1]; got != "srv1" {
		t.Errorf("held by %q", got)
	}
}

// TestEtcdLosesMembers renews a key while the etcd servers are killed in turn.
func TestEtcdLosesMembers(t *testing.T) {
	t.Parallel()
	servers := etcdtest.Start(t, 3)
	e := open(t, etcdtest.URLs(servers)...)
	mine, err := take(t, e, 1, "srv1")
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		last, worst := time.Now(), time.Duration(0)
		s.Kill()
		for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
			switch err := renew(t, e, mine.Lease); {
			case errors.Is(err, arbiter.ErrNoKey):
				t.Fatalf("the key was lost when etcd%d was killed", i+1)
			case err == nil:
				worst, last = max(worst, time.Since(last)), time.Now()
			}
		}
		worst = max(worst, time.Since(last))
		t.Logf("etcd%d killed: at most %s without a renewal", i+1, worst.Round(time.Millisecond))
		s.Start()
		s.Await()
	}
	if err := renew(t, e, mine.Lease); err != nil {
		t.Error(err)
	}
	if got := slices.Collect(maps.Values(holders(t, e))); !slices.Equal(got, []string{"srv1"}) {
		t.Errorf("held by %v", got)
	}
}
