package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/failover"
)

// start has the keys kept until ctx ends, or halt.
func (k *keeper) start(ctx context.Context) {
	ctx, k.stop = context.WithCancel(ctx)
	k.ended = make(chan struct{})
	go k.run(ctx)
}

// halt ends that; it returns when the round in progress has ended.
func (k *keeper) halt() {
	k.stop()
	<-k.ended
}

func (k *keeper) run(ctx context.Context) {
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
		if k.alive(time.Now()) {
			k.round(ctx)
		} else { // a hung agent's keys run out like its aliases
			k.next = time.Now().Add(keyRetry)
		}
		timer.Reset(k.wait(time.Now()))
	}
}

// round does all that is due.
func (k *keeper) round(ctx context.Context) {
	before := k.words()
	if k.anew.Swap(false) {
		if err := k.arb.Close(); err != nil {
			k.log.Debug("closing the connections to the arbiter", "err", err)
		}
	}
	for lim, key := range k.snapshot() {
		if key.keeping == giveBack && !time.Now().Before(key.retry) {
			k.release(ctx, lim, key)
		}
	}
	if now := time.Now(); !now.Before(k.next) {
		if k.renewAll(ctx) == nil {
			k.next = now.Add(k.period())
		} else {
			k.next = time.Now().Add(keyRetry)
		}
	}
	for lim, key := range k.snapshot() {
		if now := time.Now(); k.works() && key.keeping == claimKey && key.lease == 0 && !now.Before(k.nextTry(key)) {
			k.take(ctx, lim, key)
		}
	}
	if !maps.Equal(before, k.words()) {
		k.changed()
	}
}

// wait is the time until the next round.
func (k *keeper) wait(now time.Time) time.Duration {
	next := k.next
	for _, key := range k.snapshot() {
		switch {
		case key.keeping == giveBack:
			next = earlier(next, key.retry)
		case k.works() && key.keeping == claimKey && key.lease == 0:
			next = earlier(next, k.nextTry(key))
		}
	}
	return max(next.Sub(now), keyTry/5)
}

// nextTry is when to ask for a key again that another server has. One that dies
// holds it for a lease; one that goes on holds it for who knows how long.
func (k *keeper) nextTry(key limKey) time.Time {
	switch waited := key.tried.Sub(key.asked); {
	case waited < keyHurry:
		return key.tried.Add(keyTry)
	case waited < 2*k.lease:
		return key.tried.Add(keyPatience)
	}
	return key.tried.Add(k.period())
}

// works reports whether the last question was answered: while none is, it is
// not the time to ask more.
func (k *keeper) works() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failure == ""
}

// renewAll renews what is ours and reads who has the rest. A key is ours for
// another lease only when it was seen to be: somebody may have deleted it.
func (k *keeper) renewAll(ctx context.Context) error {
	sent, renewed := time.Now(), map[int]limKey{}
	for lim, key := range k.snapshot() {
		if key.lease == 0 || key.keeping == giveBack {
			continue
		}
		err := k.call(ctx, func(ctx context.Context) error { return k.arb.Renew(ctx, key.lease) })
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
	err := k.call(ctx, func(ctx context.Context) (err error) { keys, err = k.arb.Keys(ctx); return err })
	if err != nil {
		return err
	}
	k.read(keys)
	for lim, key := range renewed {
		if keys[lim].Lease != key.lease {
			k.lost(lim, key)
			continue
		}
		k.change(lim, key, func(key *limKey) { key.until = sent.Add(k.lease - keyMargin) })
	}
	return nil
}

// read notes who has which key. What an earlier run of this agent left for ours
// is so no more when another server has it.
func (k *keeper) read(keys map[int]arbiter.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.others)
	for lim, found := range keys {
		k.others[lim] = found.Server
		if key := k.keys[lim]; key != nil && found.Server != k.server {
			key.lease, key.until = 0, time.Time{}
		}
	}
}

// lost notes that a key is ours no more. Where it is still wanted it is asked for
// again in the same round: if nobody took it meanwhile, nothing happened.
func (k *keeper) lost(lim int, was limKey) {
	k.log.Warn("a key was lost at the arbiter", "lim", lim)
	k.change(lim, was, func(key *limKey) {
		key.lease, key.until, key.tried, key.asked = 0, time.Time{}, time.Time{}, time.Now()
	})
}

// take asks for a key.
func (k *keeper) take(ctx context.Context, lim int, was limKey) {
	sent := time.Now()
	k.change(lim, was, func(key *limKey) { key.tried = sent })
	var got arbiter.Key
	err := k.call(ctx, func(ctx context.Context) (err error) {
		got, err = k.arb.Take(ctx, lim, arbiter.Key{Server: k.server, Term: was.term, Since: sent.UTC().Round(0)}, k.lease)
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
	case got.Server != k.server:
		key.until = time.Time{}
	default:
		key.lease = got.Lease // one that is not wanted any more is given back
		if key.keeping != giveBack {
			key.until = sent.Add(k.lease - keyMargin)
		}
	}
}

// release gives a key back, for another server to take at once. If that fails it is
// tried again until it has run out.
func (k *keeper) release(ctx context.Context, lim int, was limKey) {
	var failed error
	if was.lease != 0 {
		failed = k.call(ctx, func(ctx context.Context) error { return k.arb.Release(ctx, was.lease) })
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil && key.keeping == giveBack && key.lease == was.lease {
		if failed != nil && time.Since(was.left) < k.lease {
			k.log.Warn("a key was not given back yet", "lim", lim, "err", failed)
			key.retry = time.Now().Add(keyRetry)
			return
		}
		delete(k.keys, lim)
		if k.others[lim] == k.server {
			delete(k.others, lim)
		}
	} else if key != nil && key.lease == was.lease {
		key.lease, key.until = 0, time.Time{} // wanted again meanwhile: it has to be taken anew
	}
}

// words are all verdicts, to see whether any of them changes.
func (k *keeper) words() map[int]failover.Verdict {
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

func (k *keeper) snapshot() map[int]limKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[int]limKey, len(k.keys))
	for lim, key := range k.keys {
		out[lim] = *key
	}
	return out
}

// change changes a key that is still the one that it was.
func (k *keeper) change(lim int, was limKey, f func(key *limKey)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[lim]; key != nil && key.lease == was.lease && key.keeping != giveBack {
		f(key)
	}
}

// call bounds a question to the arbiter, and notes whether it was answered.
func (k *keeper) call(ctx context.Context, f func(ctx context.Context) error) error {
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
		k.log.Warn("the arbiter does not answer", "err", err)
	}
	k.failure = err.Error()
	return err
}
