package agent

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

const (
	// keyMargin is how long before the arbiter may let a key go this server counts
	// it as lost: the kernel takes an address away up to 0.35 s late.
	keyMargin   = 500 * time.Millisecond
	keyPeriods  = 8                      // renewals within a lease
	keyTry      = 10 * time.Millisecond  // from one try to take a key to the next, at first: a planned move waits for that
	keyHurry    = 2 * time.Second        // how long it is tried so often
	keyPatience = 250 * time.Millisecond // and after that
	keyRetry    = 200 * time.Millisecond // after a call failed
	minCall     = 500 * time.Millisecond // a question may take
	parkedKey   = time.Minute            // longest time that a stopped agent leaves a key behind for
)

// keeping says what is to become of a LIM's key.
type keeping int

const (
	giveBack keeping = iota
	keepKey          // while it lasts and can be renewed
	claimKey         // and take it where it is not ours
)

// limKey is a LIM's key as this server has it, or wants it.
type limKey struct {
	keeping keeping
	term    uint64
	lease   int64     // 0: not taken
	until   time.Time // nobody else can have it before; zero: not known
	asked   time.Time // when it was first asked for, since it was last ours
	tried   time.Time // when it was last asked for
	left    time.Time // when it was to be given back
	retry   time.Time // when to try that again; zero: it was not tried yet
}

// keeper holds this server's keys at the arbiter, beside the main loop: what the
// arbiter takes its time for holds nothing else up. It goes by the monotonic clock.
type keeper struct {
	arb     Arbiter
	server  string
	lease   time.Duration
	alive   func(now time.Time) bool // whether the agent's main loop turns
	changed func()
	log     *slog.Logger
	kick    chan struct{}
	next    time.Time   // when all keys are renewed and read again; of the rounds alone
	anew    atomic.Bool // the connections are to be made anew
	stop    context.CancelFunc
	ended   chan struct{} // when no round will follow

	mu      sync.Mutex
	keys    map[int]*limKey
	others  map[int]string // who has which key, as last read
	asked   bool           // an answer, or none in time, has come
	reached time.Time      // when the last question was sent that was answered
	since   time.Time      // since when it answers without a gap of a lease
	failure string         // of the last question; "": it was answered
}

func newKeeper(arb Arbiter, cfg Config, alive func(time.Time) bool, changed func()) *keeper {
	return &keeper{arb: arb, server: cfg.Server, lease: cfg.ArbiterLease, alive: alive, changed: changed, log: cfg.Log,
		kick: make(chan struct{}, 1), keys: map[int]*limKey{}, others: map[int]string{}}
}

// aliasLease is the lease of aliases beside that of keys: with one period missed,
// a renewed alias is gone before its key.
func aliasLease(alias, key time.Duration) time.Duration {
	return min(alias, max((key-keyMargin-key/keyPeriods).Truncate(time.Second), time.Second))
}

// period is the time from one renewal, and one look at all keys, to the next.
func (k *keeper) period() time.Duration { return k.lease / keyPeriods }

// keep says what is to become of a LIM's key; term is that of the start it is for.
func (k *keeper) keep(lim int, how keeping, term uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.keys[lim]
	switch {
	case key == nil && how != claimKey:
		return
	case key == nil:
		key = &limKey{}
		k.keys[lim] = key
	case key.keeping == how:
		return
	}
	if how == giveBack {
		key.until, key.left, key.retry = time.Time{}, time.Now(), time.Time{} // others are about to have it
	}
	if how == claimKey {
		key.asked = time.Now()
	}
	key.keeping, key.term = how, term
	k.wake()
}

// adopt takes a LIM's key for ours as long as the alias that an earlier run of
// the agent left: that was never given longer than the key.
func (k *keeper) adopt(lim int, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.keys[lim] = &limKey{keeping: claimKey, until: earlier(until, now.Add(k.lease-keyMargin)), asked: now}
}

// reconnect has the connections made anew: this server's addresses have changed.
func (k *keeper) reconnect() {
	k.anew.Store(true)
	k.wake()
}

func (k *keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// left is for how long nobody else can have a LIM's key.
func (k *keeper) left(lim int, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil {
		return max(key.until.Sub(now), 0)
	}
	return 0
}

// view is what the brain is told.
func (k *keeper) view(lims map[int]*lim, now time.Time) *failover.Arbiter {
	k.mu.Lock()
	since := k.since
	k.mu.Unlock()
	v := &failover.Arbiter{Lease: k.lease, Since: since, LIMs: make(map[int]failover.Verdict, len(lims))}
	for n, l := range lims {
		v.LIMs[n] = k.verdict(n, now)
		if v.LIMs[n].Word == failover.Ours && !l.alias.holds && k.left(n, now) < time.Second {
			v.LIMs[n] = failover.Verdict{Word: failover.Free} // the kernel gives no alias for so short
		}
	}
	return v
}

func (k *keeper) verdict(lim int, now time.Time) failover.Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, holder := k.keys[lim], k.others[lim]
	switch {
	case key != nil && now.Before(key.until):
		return failover.Verdict{Word: failover.Ours}
	case !k.answers(now):
		return failover.Verdict{Word: failover.Silent}
	case holder == "" || holder == k.server:
		return failover.Verdict{Word: failover.Free}
	}
	return failover.Verdict{Word: failover.Held, Holder: holder}
}

// answers reports whether the arbiter was reached lately; the caller holds mu.
func (k *keeper) answers(now time.Time) bool {
	return !k.reached.IsZero() && now.Sub(k.reached) < k.lease-keyMargin
}

// word is what this server tells the others of its arbiter, and why it is silent.
func (k *keeper) word(now time.Time) (word, failure string) {
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
