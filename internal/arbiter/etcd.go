package arbiter

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mxcluster/netops"
)

// Config says where etcd is.
type Config struct {
	Endpoints      []string    // URLs of client ports, all of them http or all https
	TLS            *tls.Config // nil: the system's, for https
	User, Password string      // "": none
	Prefix, System string      // keys are Prefix/System/lim/N

	// Source returns the address to connect from, given the one that the kernel has
	// chosen; nil: that one. An alias will not do: it moves away with its LIM, and the
	// connection over which its key is to be given back would break.
	Source func(chosen netip.Addr) netip.Addr
}

// How connections are kept: an etcd server that went silent is left for another
// one after a second, and one that was away is found again within another.
const (
	pingPeriod   = 10 * time.Second // the shortest that gRPC allows
	silenceLimit = time.Second
	connectLimit = time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Second
)

// Etcd is an arbiter. Its methods may be called from several goroutines; each
// fails when its context ends, at the latest.
type Etcd struct {
	cfg  Config
	root string // of the keys, with a slash at its end

	mu     sync.Mutex
	client *clientv3.Client         // nil: not made yet
	spare  map[int]clientv3.LeaseID // by LIM, got while another server had the key; they run out by themselves
}

// New returns an arbiter at etcd. Nothing is connected before the first call, for
// etcd may be down and must not keep an agent from starting.
func New(cfg Config) *Etcd {
	return &Etcd{cfg: cfg, root: fmt.Sprintf("%s/%s/lim/", strings.TrimRight(cfg.Prefix, "/"), cfg.System)}
}

// Close ends all connections. The next call makes new ones.
func (e *Etcd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client == nil {
		return nil
	}
	client := e.client
	e.client = nil
	return client.Close()
}

// connected returns the client, made now if need be: with a user it asks etcd
// for a token first.
func (e *Etcd) connected(ctx context.Context) (*clientv3.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != nil {
		return e.client, nil
	}
	wait := connectLimit
	if end, ok := ctx.Deadline(); ok {
		wait = max(time.Until(end), time.Millisecond)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: e.cfg.Endpoints, TLS: e.cfg.TLS, Username: e.cfg.User, Password: e.cfg.Password, DialTimeout: wait,
		DialKeepAliveTime: pingPeriod, DialKeepAliveTimeout: silenceLimit, PermitWithoutStream: true, MaxUnaryRetries: 2,
		Logger: zap.NewNop(), // what fails is returned
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastBackoff},
			MinConnectTimeout: connectLimit,
		}), grpc.WithChainUnaryInterceptor(failFast), grpc.WithContextDialer(e.dial)},
	})
	if err != nil {
		return nil, err
	}
	e.client = client
	return client, nil
}

// dial connects to an etcd server.
func (e *Etcd) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if e.cfg.Source != nil {
		d.Control = e.bind
	}
	return d.DialContext(ctx, "tcp", address)
}

// bind gives a socket the address that it is to connect from. Nothing is sent before
// that is known: from the address that the kernel would take there may be no answer.
func (e *Etcd) bind(_, address string, c syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	chosen, err := netops.Source(to.Addr())
	if err != nil {
		return err
	}
	from := e.cfg.Source(chosen)
	if from == chosen {
		return nil
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		if from.Is4() {
			failed = unix.Bind(int(fd), &unix.SockaddrInet4{Addr: from.As4()})
			return
		}
		failed = unix.Bind(int(fd), &unix.SockaddrInet6{Addr: from.As16()})
	})
	return errors.Join(err, failed)
}

// failFast has a call fail at once, with the reason, while no etcd server can be
// reached. The client would have it wait in vain, and say nothing but that.
func failFast(ctx context.Context, method string, req, answer any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return call(ctx, method, req, answer, cc, append(opts, grpc.WaitForReady(false))...)
}

// Keys returns who holds which LIM. It asks a majority of the etcd servers, so an
// answer says as well that etcd works.
func (e *Etcd) Keys(ctx context.Context) (map[int]Key, error) {
	client, err := e.connected(ctx)
	if err != nil {
		return nil, plain("asking etcd", err)
	}
	res, err := client.Get(ctx, e.root, clientv3.WithPrefix())
	if err != nil {
		return nil, plain("asking etcd", err)
	}
	keys := map[int]Key{}
	for _, kv := range res.Kvs {
		lim, err := strconv.Atoi(strings.TrimPrefix(string(kv.Key), e.root))
		if err != nil {
			continue // not ours: somebody else's key below our prefix
		}
		keys[lim] = read(kv)
	}
	return keys, nil
}

// Take takes a LIM's key for a server, for a time in whole seconds: if nobody has
// it, or that server itself, as after a restart of its agent. It returns the key as
// it is then: another server's stays what it is. An error leaves open whether it
// was taken. Who asks while another server has the key will ask again: the lease is
// got meanwhile, which etcd has to write to its disk.
func (e *Etcd) Take(ctx context.Context, lim int, want Key, lasts time.Duration) (Key, error) {
	what := fmt.Sprintf("taking the key of LIM %d at etcd", lim)
	client, err := e.connected(ctx)
	if err != nil {
		return Key{}, plain(what, err)
	}
	name := e.root + strconv.Itoa(lim)
	res, err := client.Get(ctx, name)
	if err != nil {
		return Key{}, plain(what, err)
	}
	var seen int64 // revision of the key that may be replaced; 0: there is none
	if len(res.Kvs) > 0 {
		if now := read(res.Kvs[0]); now.Server != want.Server {
			e.prepare(ctx, client, lim, lasts)
			return now, nil
		}
		seen = res.Kvs[0].ModRevision
	}
	value, err := json.Marshal(want)
	if err != nil {
		return Key{}, plain(what, err)
	}
	lease, err := e.lease(ctx, client, lim, lasts)
	if err != nil {
		return Key{}, plain(what, err)
	}
	done, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(name), "=", seen)).
		Then(clientv3.OpPut(name, string(value), clientv3.WithLease(lease))).Else(clientv3.OpGet(name)).Commit()
	switch {
	case err != nil:
		return Key{}, plain(what, err)
	case done.Succeeded:
		want.Lease = int64(lease)
		return want, nil
	}
	// Somebody was faster. The lease without a key runs out by itself, should
	// this fail.
	_, _ = client.Revoke(ctx, lease)
	if kvs := done.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		return read(kvs[0]), nil
	}
	return Key{}, nil
}

// prepare gets the lease for a key that another server has, once for all tries. If
// that fails, it is got with the key.
func (e *Etcd) prepare(ctx context.Context, client *clientv3.Client, lim int, lasts time.Duration) {
	e.mu.Lock()
	_, there := e.spare[lim]
	e.mu.Unlock()
	if there {
		return
	}
	lease, err := client.Grant(ctx, int64(lasts/time.Second))
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spare == nil {
		e.spare = map[int]clientv3.LeaseID{}
	}
	e.spare[lim] = lease.ID
}

// lease returns a lease with its whole time before it: the one that was prepared, if
// it is still there, or another one.
func (e *Etcd) lease(ctx context.Context, client *clientv3.Client, lim int, lasts time.Duration) (clientv3.LeaseID, error) {
	e.mu.Lock()
	spare, there := e.spare[lim]
	delete(e.spare, lim)
	e.mu.Unlock()
	if there && e.Renew(ctx, int64(spare)) == nil {
		return spare, nil
	}
	lease, err := client.Grant(ctx, int64(lasts/time.Second))
	if err != nil {
		return 0, err
	}
	return lease.ID, nil
}

// Renew has a lease, and the key with it, last for its time again; ErrNoKey when
// it is not there any more.
//
// The client's own KeepAliveOnce would not do: while nothing listens it tries
// again and again without a pause.
func (e *Etcd) Renew(ctx context.Context, lease int64) error {
	const what = "renewing a key at etcd"
	client, err := e.connected(ctx)
	if err != nil {
		return plain(what, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := etcdserverpb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return plain(what, err)
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: lease}); err != nil {
		return plain(what, err)
	}
	res, err := stream.Recv()
	if err != nil {
		return plain(what, err)
	}
	if res.TTL <= 0 {
		return ErrNoKey
	}
	return nil
}

// Release gives a lease, and the key with it, back at once. One that is not
// there any more is fine.
func (e *Etcd) Release(ctx context.Context, lease int64) error {
	const what = "giving a key back to etcd"
	client, err := e.connected(ctx)
	if err != nil {
		return plain(what, err)
	}
	if _, err := client.Revoke(ctx, clientv3.LeaseID(lease)); err != nil && !isNoLease(err) {
		return plain(what, err)
	}
	return nil
}

// read reads a key. One that nobody of us wrote is held by somebody unknown:
// whoever wrote it meant something by it.
func read(kv *mvccpb.KeyValue) Key {
	var k Key
	if err := json.Unmarshal(kv.Value, &k); err != nil || k.Server == "" {
		k = Key{Server: "somebody unknown"}
	}
	k.Lease = kv.Lease
	return k
}

// isNoLease reports whether etcd does not know a lease.
func isNoLease(err error) bool { return errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseNotFound) }

// plain says what was being done, and what went wrong in etcd's own words,
// without those of the protocol around them.
func plain(what string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		return fmt.Errorf("%s: no answer in time", what)
	}
	text := rpctypes.ErrorDesc(err)
	for _, around := range []string{"desc = \"", "Error while dialing: "} {
		if _, rest, ok := strings.Cut(text, around); ok {
			text = strings.TrimSuffix(rest, "\"")
		}
	}
	return fmt.Errorf("%s: %s", what, text)
}
