package keeper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/failover"
)

// Start has the keys kept until ctx ends, or Halt.
func (k *Keeper) Start(ctx context.Context) {
	ctx, k.stop = context.WithCancel(ctx)
	k.ended = make(chan struct{})
	go k.run(ctx)
}

// Halt ends that; it returns when the round in progress has ended.
func (k *Keeper) Halt() {
	k.stop()
	<-k.ended
}

func (k *Keeper) run(ctx context.Context) {
	defer close(k.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.kick:
		}
		if k.Alive(time.Now()) {
			k.round(ctx)
		} else { // a hung agent's keys run out like its aliases
			k.next = time.Now().Add(retryPeriod)
		}
		timer.Reset(k.wait(time.Now()))
	}
}

// round does all that is due.
func (k *Keeper) round(ctx context.Context) {
	before := k.words()
	if k.anew.Swap(false) {
		if err := k.Arbiter.Close(); err != nil {
			k.Log.Debug("closing the connections to the arbiter", "err", err)
		}
	}
	for lim, key := range k.snapshot() {
		if key.want == GiveBack && !time.Now().Before(key.retry) {
			k.release(ctx, lim, key)
		}
	}
	if now := time.Now(); !now.Before(k.next) {
		if k.renewAll(ctx) == nil {
			k.next = now.Add(k.period())
		} else {
			k.next = time.Now().Add(retryPeriod)
		}
	}
	for lim, key := range k.snapshot() {
		if now := time.Now(); k.works() && key.want == Claim && key.lease == 0 && !now.Before(k.nextTry(key)) {
			k.take(ctx, lim, key)
		}
	}
	if !maps.Equal(before, k.words()) {
		k.Changed()
	}
}

// wait is the time until the next round.
func (k *Keeper) wait(now time.Time) time.Duration {
	next := k.next
	for _, key := range k.snapshot() {
		switch {
		case key.want == GiveBack:
			next = earlier(next, key.retry)
		case k.works() && key.want == Claim && key.lease == 0:
			next = earlier(next, k.nextTry(key))
		}
	}
	return max(next.Sub(now), tryPeriod/5)
}

// nextTry is when to ask for a key again that another server has. One that dies
// holds it for a lease; one that goes on holds it for who knows how long.
func (k *Keeper) nextTry(key heldKey) time.Time {
	switch waited := key.tried.Sub(key.asked); {
	case waited < hurry:
		return key.tried.Add(tryPeriod)
	case waited < 2*k.Lease:
		return key.tried.Add(patience)
	}
	return key.tried.Add(k.period())
}

// works reports whether the last question was answered: while none is, it is
// not the time to ask more.
func (k *Keeper) works() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failure == ""
}

// renewAll renews what is ours and reads who has the rest. A key is ours for
// another lease only when it was seen to be: somebody may have deleted it.
func (k *Keeper) renewAll(ctx context.Context) error {
	sent, renewed := time.Now(), map[int]heldKey{}
	for lim, key := range k.snapshot() {
		if key.lease == 0 || key.want == GiveBack {
			continue
		}
		err := k.call(ctx, func(ctx context.Context) error { return k.Arbiter.Renew(ctx, key.lease) })
		switch {
		case errors.Is(err, arbiter.ErrNoKey):
			k.lost(lim, key)
		case err != nil:
			return err
		default:
			renewed[lim] = key
		}
	}
	var keys map[int]arbiter.Key
	err := k.call(ctx, func(ctx context.Context) (err error) { keys, err = k.Arbiter.Keys(ctx); return err })
	if err != nil {
		return err
	}
	k.read(keys)
	for lim, key := range renewed {
		if keys[lim].Lease != key.lease {
			k.lost(lim, key)
			continue
		}
		k.change(lim, key, func(key *heldKey) { key.until = sent.Add(k.Lease - Margin) })
	}
	return nil
}

// read notes who has which key. What an earlier run of this agent left for ours
// is so no more when another server has it.
func (k *Keeper) read(keys map[int]arbiter.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.others)
	for lim, found := range keys {
		k.others[lim] = found.Server
		if key := k.keys[lim]; key != nil && found.Server != k.Server {
			key.lease, key.until = 0, time.Time{}
		}
	}
}

// lost notes that a key is ours no more. Where it is still wanted it is asked for
// again in the same round: if nobody took it meanwhile, nothing happened.
func (k *Keeper) lost(lim int, was heldKey) {
	k.Log.Warn("a key was lost at the arbiter", "lim", lim)
	k.change(lim, was, func(key *heldKey) {
		key.lease, key.until, key.tried, key.asked = 0, time.Time{}, time.Time{}, time.Now()
	})
}

// take asks for a key.
func (k *Keeper) take(ctx context.Context, lim int, was heldKey) {
	sent := time.Now()
	k.change(lim, was, func(key *heldKey) { key.tried = sent })
	var got arbiter.Key
	err := k.call(ctx, func(ctx context.Context) (err error) {
		got, err = k.Arbiter.Take(ctx, lim, arbiter.Key{Server: k.Server, Term: was.term, Since: sent.UTC().Round(0)}, k.Lease)
		return err
	})
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.others[lim] = got.Server
	key := k.keys[lim]
	switch {
	case key == nil:
	case got.Server != k.Server:
		key.until = time.Time{}
	default:
		key.lease = got.Lease // one that is not wanted any more is given back
		if key.want != GiveBack {
			key.until = sent.Add(k.Lease - Margin)
		}
	}
}

// release gives a key back, for another server to take at once. If that fails it is
// tried again until it has run out.
func (k *Keeper) release(ctx context.Context, lim int, was heldKey) {
	var failed error
	if was.lease != 0 {
		failed = k.call(ctx, func(ctx context.Context) error { return k.Arbiter.Release(ctx, was.lease) })
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil && key.want == GiveBack && key.lease == was.lease {
		if failed != nil && time.Since(was.left) < k.Lease {
			k.Log.Warn("a key was not given back yet", "lim", lim, "err", failed)
			key.retry = time.Now().Add(retryPeriod)
			return
		}
		delete(k.keys, lim)
		if k.others[lim] == k.Server {
			delete(k.others, lim)
		}
	} else if key != nil && key.lease == was.lease {
		key.lease, key.until = 0, time.Time{} // wanted again meanwhile: it has to be taken anew
	}
}

// words are all verdicts, to see whether any of them changes.
func (k *Keeper) words() map[int]failover.Verdict {
	now := time.Now()
	k.mu.Lock()
	lims := maps.Clone(k.others)
	for lim := range k.keys {
		lims[lim] = ""
	}
	if k.asked {
		lims[0] = "" // whether it answers
	}
	k.mu.Unlock()
	out := map[int]failover.Verdict{}
	for lim := range lims {
		out[lim] = k.verdict(lim, now)
	}
	return out
}

func (k *Keeper) snapshot() map[int]heldKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[int]heldKey, len(k.keys))
	for lim, key := range k.keys {
		out[lim] = *key
	}
	return out
}

// change changes a key that is still the one that it was.
func (k *Keeper) change(lim int, was heldKey, f func(key *heldKey)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil && key.lease == was.lease && key.want != GiveBack {
		f(key)
	}
}

// call bounds a question to the arbiter, and notes whether it was answered.
func (k *Keeper) call(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(k.period(), minCall))
	defer cancel()
	sent := time.Now()
	err := f(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = true
	if err == nil || errors.Is(err, arbiter.ErrNoKey) {
		if !k.answers(sent) {
			k.since = sent
		}
		k.reached, k.failure = sent, ""
		return err
	}
	if k.failure == "" {
		k.Log.Warn("the arbiter does not answer", "err", err)
	}
	k.failure = err.Error()
	return err
}

// Leave ends keeping; it gives back what was to be given back, and has the arbiter keep the
// keys of some LIMs for longer, for the next keeper.
func (k *Keeper) Leave(ctx context.Context, stay map[int]bool, lasts time.Duration) {
	k.Halt()
	keys := k.snapshot()
	for _, n := range slices.Sorted(maps.Keys(keys)) {
		switch key := keys[n]; {
		case key.want == GiveBack:
			k.release(ctx, n, key)
		case stay[n] && key.lease != 0:
			k.leave(ctx, n, key, lasts)
		}
	}
}

// leave takes a key of ours anew, for longer.
func (k *Keeper) leave(ctx context.Context, lim int, was heldKey, lasts time.Duration) {
	sent := time.Now()
	err := k.call(ctx, func(ctx context.Context) error {
		got, err := k.Arbiter.Take(ctx, lim, arbiter.Key{Server: k.Server, Term: was.term, Since: sent.UTC().Round(0)}, lasts)
		if err == nil && got.Server != k.Server {
			err = arbiter.ErrNoKey
		}
		return err
	})
	if err != nil {
		k.Log.Warn("a key was not left for the next agent", "lim", lim, "err", err)
		return
	}
	k.change(lim, was, func(key *heldKey) { key.until = sent.Add(lasts - Margin) })
}
