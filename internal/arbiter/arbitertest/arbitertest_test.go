package arbitertest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/arbiter/arbitertest"
)

// TestFakeIsLikeEtcd checks, of the fake, what the tests of etcd check of etcd.
func TestFakeIsLikeEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, f := t.Context(), &arbitertest.Fake{}
		a, b := f.For("srv1"), f.For("sb1")
		mine, err := a.Take(ctx, 1, arbiter.Key{Server: "srv1", Term: 7}, 5*time.Second)
		if err != nil || mine.Server != "srv1" || mine.Lease == 0 {
			t.Fatalf("took %+v, %v", mine, err)
		}
		if k, err := b.Take(ctx, 1, arbiter.Key{Server: "sb1"}, 5*time.Second); err != nil || k != mine {
			t.Errorf("the other side got %+v, %v", k, err)
		}
		<-time.After(4 * time.Second)
		if err := a.Renew(ctx, mine.Lease); err != nil {
			t.Error(err)
		}
		<-time.After(4 * time.Second)
		if got := f.Holder(1); got != "srv1" {
			t.Errorf("held by %q", got)
		}
		f.Down(true)
		if _, err := b.Keys(ctx); err == nil {
			t.Error("it answers though it is down")
		}
		<-time.After(time.Hour)
		f.Down(false) // it counts anew
		if got := f.Holder(1); got != "srv1" {
			t.Errorf("held by %q after it was down", got)
		}
		f.Cut("srv1", true)
		try, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := a.Renew(try, mine.Lease); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("renewing from behind a cut: %v", err)
		}
		<-time.After(4 * time.Second)
		f.Cut("srv1", false)
		if err := a.Renew(ctx, mine.Lease); !errors.Is(err, arbiter.ErrNoKey) {
			t.Errorf("renewing what ran out: %v", err)
		}
		next, err := b.Take(ctx, 1, arbiter.Key{Server: "sb1"}, 5*time.Second)
		if err != nil || next.Server != "sb1" {
			t.Errorf("took %+v, %v", next, err)
		}
		if err := b.Release(ctx, next.Lease); err != nil || f.Holder(1) != "" {
			t.Errorf("gave it back: %v, held by %q", err, f.Holder(1))
		}
	})
}
