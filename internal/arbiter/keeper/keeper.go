// Package keeper holds a server's keys at the arbiter: it takes, renews and gives back those
// that it is told to, and says for how long each is surely ours. A key may be gone at the
// arbiter later than it counts as lost here, never sooner.
//
// A [Keeper] has a goroutine and a lock of its own: what the arbiter takes its time for holds
// nothing else up. It goes by the monotonic clock.
package keeper

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/failover"
)

// Arbiter is a third party that gives the key of each LIM to one server at a time
// (package arbiter). Its methods end with their context at the latest.
type Arbiter interface {
	Keys(ctx context.Context) (map[int]arbiter.Key, error)
	Take(ctx context.Context, lim int, want arbiter.Key, lasts time.Duration) (arbiter.Key, error)
	Renew(ctx context.Context, lease int64) error
	Release(ctx context.Context, lease int64) error
	Close() error // ends the connections; the next question makes new ones
}

// Margin is how long before the arbiter may let a key go this server counts it as lost: the
// kernel takes an address away up to 0.35 s late.
const Margin = 500 * time.Millisecond

// Periods is how often a key is renewed within its lease.
const Periods = 8

const (
	tryPeriod   = 10 * time.Millisecond  // from one try to take a key to the next, at first: a planned move waits for that
	hurry       = 2 * time.Second        // how long it is tried so often
	patience    = 250 * time.Millisecond // and after that
	retryPeriod = 200 * time.Millisecond // after a call failed
	minCall     = 500 * time.Millisecond // a question may take
	minUse      = time.Second            // a key that lasts shorter is of no use to one that has no alias yet: the kernel gives none for so short
)

// Want is what is to become of a LIM's key.
type Want int

// The wants.
const (
	GiveBack Want = iota
	Hold          // while it lasts and can be renewed
	Claim         // and take it where it is not ours
)

// heldKey is a LIM's key as this server has it, or wants it.
type heldKey struct {
	want  Want
	term  uint64
	lease int64     // 0: not taken
	until time.Time // nobody else can have it before; zero: not known
	asked time.Time // when it was first asked for, since it was last ours
	tried time.Time // when it was last asked for
	left  time.Time // when it was to be given back
	retry time.Time // when to try that again; zero: it was not tried yet
}

// Config is what a keeper works with.
type Config struct {
	Arbiter Arbiter
	Server  string                   // this one
	Lease   time.Duration            // of a key
	Alive   func(now time.Time) bool // whether the keys are to be kept: the agent's main loop turns
	Changed func()                   // who has which key, or whether that is known, has changed
	Log     *slog.Logger
}

// Keeper holds this server's keys. Make it with [New]; what is called while it does not run
// is done once it does.
type Keeper struct {
	Config
	kick  chan struct{}
	next  time.Time   // when all keys are renewed and read again; of the rounds alone
	anew  atomic.Bool // the connections are to be made anew
	stop  context.CancelFunc
	ended chan struct{} // when no round will follow

	mu      sync.Mutex
	keys    map[int]*heldKey
	others  map[int]string // who has which key, as last read
	asked   bool           // an answer, or none in time, has come
	reached time.Time      // when the last question was sent that was answered
	since   time.Time      // since when it answers without a gap of a lease
	failure string         // of the last question; "": it was answered
}

// New returns a keeper that holds no key yet.
func New(c Config) *Keeper {
	return &Keeper{Config: c, kick: make(chan struct{}, 1), keys: map[int]*heldKey{}, others: map[int]string{}}
}

// AliasLease is the lease of aliases beside that of keys: with one period missed,
// a renewed alias is gone before its key.
func AliasLease(alias, key time.Duration) time.Duration {
	return min(alias, max((key-Margin-key/Periods).Truncate(time.Second), time.Second))
}

// period is the time from one renewal, and one look at all keys, to the next.
func (k *Keeper) period() time.Duration { return k.Lease / Periods }

// Keep says what is to become of a LIM's key; term is that of the start it is for.
func (k *Keeper) Keep(lim int, how Want, term uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.keys[lim]
	switch {
	case key == nil && how != Claim:
		return
	case key == nil:
		key = &heldKey{}
		k.keys[lim] = key
	case key.want == how:
		return
	}
	if how == GiveBack {
		key.until, key.left, key.retry = time.Time{}, time.Now(), time.Time{} // others are about to have it
	}
	if how == Claim {
		key.asked = time.Now()
	}
	key.want, key.term = how, term
	k.wake()
}

// Adopt takes a LIM's key for ours as long as the alias that an earlier run of
// the agent left: that was never given longer than the key.
func (k *Keeper) Adopt(lim int, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.keys[lim] = &heldKey{want: Claim, until: earlier(until, now.Add(k.Lease-Margin)), asked: now}
}

// Reconnect has the connections made anew: this server's addresses have changed.
func (k *Keeper) Reconnect() {
	k.anew.Store(true)
	k.wake()
}

func (k *Keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// Left is for how long nobody else can have a LIM's key.
func (k *Keeper) Left(lim int, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil {
		return max(key.until.Sub(now), 0)
	}
	return 0
}

// View is what the brain is told of LIMs; holds are those whose alias is here.
func (k *Keeper) View(holds map[int]bool, now time.Time) *failover.Arbiter {
	k.mu.Lock()
	since := k.since
	k.mu.Unlock()
	v := &failover.Arbiter{Lease: k.Lease, Since: since, LIMs: make(map[int]failover.Verdict, len(holds))}
	for n, here := range holds {
		v.LIMs[n] = k.verdict(n, now)
		if v.LIMs[n].Word == failover.Ours && !here && k.Left(n, now) < minUse {
			v.LIMs[n] = failover.Verdict{Word: failover.Free}
		}
	}
	return v
}

func (k *Keeper) verdict(lim int, now time.Time) failover.Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, holder := k.keys[lim], k.others[lim]
	switch {
	case key != nil && now.Before(key.until):
		return failover.Verdict{Word: failover.Ours}
	case !k.answers(now):
		return failover.Verdict{Word: failover.Silent}
	case holder == "" || holder == k.Server:
		return failover.Verdict{Word: failover.Free}
	}
	return failover.Verdict{Word: failover.Held, Holder: holder}
}

// answers reports whether the arbiter was reached lately; the caller holds mu.
func (k *Keeper) answers(now time.Time) bool {
	return !k.reached.IsZero() && now.Sub(k.reached) < k.Lease-Margin
}

// Word is what this server tells the others of its arbiter, and why it is silent.
func (k *Keeper) Word(now time.Time) (word, failure string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.asked:
		return "", ""
	case k.answers(now):
		return failover.ArbiterReached, ""
	}
	return failover.ArbiterSilent, k.failure
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
