package keeper_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/arbiter/arbitertest"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
)

const lease = 6 * time.Second

// kept is an arbiter and the keepers of two servers.
type kept struct {
	arb    arbitertest.Fake
	by     map[string]*keeper.Keeper
	hung   atomic.Bool  // srv1's main loop
	change atomic.Int64 // that srv1's keeper told of
}

// keeping runs f in virtual time with a keeper for srv1 and one for sb1.
func keeping(t *testing.T, f func(t *testing.T, k *kept, regular, standby *keeper.Keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{by: map[string]*keeper.Keeper{}}
		for _, server := range []string{"srv1", "sb1"} {
			k.by[server] = keeper.New(keeper.Config{Arbiter: k.arb.For(server), Server: server, Lease: lease, Log: slog.New(slog.DiscardHandler),
				Alive: func(time.Time) bool { return server != "srv1" || !k.hung.Load() },
				Changed: func() {
					if server == "srv1" {
						k.change.Add(1)
					}
				}})
			k.by[server].Start(t.Context())
			defer k.by[server].Halt()
		}
		f(t, k, k.by["srv1"], k.by["sb1"])
	})
}

// word is what a keeper says of LIM 1, whose alias is not here.
func word(k *keeper.Keeper) failover.Verdict {
	return k.View(map[int]bool{1: false}, time.Now()).LIMs[1]
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestKeyIsTakenRenewedAndGivenBack(t *testing.T) {
	keeping(t, func(t *testing.T, k *kept, regular, standby *keeper.Keeper) {
		pass(time.Millisecond)
		if got := word(regular); got.Word != failover.Free || regular.Left(1, time.Now()) != 0 {
			t.Errorf("before it is asked for: %+v", got)
		}
		before := k.change.Load()
		regular.Keep(1, keeper.Claim, 7)
		pass(time.Second)
		if got := word(regular); got.Word != failover.Ours || k.change.Load() == before {
			t.Errorf("taken: %+v, told of %d changes", got, k.change.Load()-before)
		}
		for range 50 {
			pass(lease / 10)
			if left := regular.Left(1, time.Now()); left <= lease-keeper.Margin-2*lease/keeper.Periods {
				t.Fatalf("%s left of a key that is renewed", left)
			}
		}
		standby.Keep(1, keeper.Claim, 8)
		pass(time.Second)
		if got := word(standby); got.Word != failover.Held || got.Holder != "srv1" {
			t.Errorf("of the other server: %+v", got)
		}
		regular.Keep(1, keeper.GiveBack, 0)
		if left := regular.Left(1, time.Now()); left != 0 {
			t.Errorf("%s left at once after it is to be given back", left)
		}
		pass(100 * time.Millisecond) // a planned move waits for that
		if got := word(standby); got.Word != failover.Ours || k.arb.Holder(1) != "sb1" {
			t.Errorf("given back: %+v, held by %q", got, k.arb.Holder(1))
		}
	})
}

// While an arbiter is silent the key counts as lost before it may be another's.
func TestKeyEndsHereFirst(t *testing.T) {
	for name, harm := range map[string]func(k *kept){
		"the arbiter is not reached": func(k *kept) { k.arb.Cut("srv1", true) },
		"the main loop hangs":        func(k *kept) { k.hung.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			keeping(t, func(t *testing.T, k *kept, regular, standby *keeper.Keeper) {
				regular.Keep(1, keeper.Claim, 7)
				pass(time.Second)
				standby.Keep(1, keeper.Claim, 8)
				harm(k)
				for began := time.Now(); word(standby).Word != failover.Ours; pass(10 * time.Millisecond) {
					if time.Since(began) > 2*lease {
						t.Fatal("the other server never gets it")
					}
				}
				if left := regular.Left(1, time.Now()); left > 0 || word(regular).Word == failover.Ours {
					t.Errorf("the other server has it, and %s are left here", left)
				}
			})
		})
	}
}

func TestSilentArbiterIsTold(t *testing.T) {
	keeping(t, func(t *testing.T, k *kept, regular, _ *keeper.Keeper) {
		if word, _ := regular.Word(time.Now()); word != "" {
			t.Errorf("before anything was answered: %q", word)
		}
		pass(time.Second)
		if word, _ := regular.Word(time.Now()); word != failover.ArbiterReached {
			t.Errorf("answered: %q", word)
		}
		k.arb.Cut("srv1", true)
		pass(lease)
		if word, failure := regular.Word(time.Now()); word != failover.ArbiterSilent || failure == "" {
			t.Errorf("cut off: %q, %q", word, failure)
		}
		k.arb.Cut("srv1", false)
		pass(time.Second)
		if word, _ := regular.Word(time.Now()); word != failover.ArbiterReached {
			t.Errorf("back: %q", word)
		}
	})
}

// A key that somebody deletes, and nobody takes, is taken anew.
func TestDeletedKeyIsTakenAnew(t *testing.T) {
	keeping(t, func(t *testing.T, k *kept, regular, _ *keeper.Keeper) {
		regular.Keep(1, keeper.Claim, 7)
		pass(time.Second)
		k.arb.Delete(1)
		pass(lease / keeper.Periods * 2)
		if got := word(regular); got.Word != failover.Ours || k.arb.Holder(1) != "srv1" {
			t.Errorf("%+v, held by %q", got, k.arb.Holder(1))
		}
	})
}

// A key is left for longer for the LIMs that go on, and given back for those that were
// given up.
func TestKeysAreLeft(t *testing.T) {
	keeping(t, func(t *testing.T, k *kept, regular, standby *keeper.Keeper) {
		regular.Keep(1, keeper.Claim, 7)
		regular.Keep(2, keeper.Claim, 7)
		pass(time.Second)
		regular.Keep(2, keeper.GiveBack, 0)
		regular.Leave(t.Context(), map[int]bool{1: true}, time.Minute)
		standby.Keep(1, keeper.Claim, 8)
		standby.Keep(2, keeper.Claim, 8)
		pass(time.Minute - 2*time.Second)
		if one, two := k.arb.Holder(1), k.arb.Holder(2); one != "srv1" || two != "sb1" {
			t.Errorf("LIM 1 is held by %q, LIM 2 by %q", one, two)
		}
		pass(4 * time.Second)
		if one := k.arb.Holder(1); one != "sb1" {
			t.Errorf("after the time LIM 1 is held by %q", one)
		}
	})
}

// The alias that an earlier run left is proof as long as it lasts; then the key is this
// run's own.
func TestKeyOfAnEarlierRunIsAdopted(t *testing.T) {
	keeping(t, func(t *testing.T, _ *kept, regular, _ *keeper.Keeper) {
		regular.Adopt(1, time.Now().Add(2*time.Second))
		if left := regular.Left(1, time.Now()); left != 2*time.Second {
			t.Errorf("%s left", left)
		}
		pass(4 * time.Second)
		if got := word(regular); got.Word != failover.Ours {
			t.Errorf("later: %+v", got)
		}
	})
}
