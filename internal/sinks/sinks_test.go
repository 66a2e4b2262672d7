package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/alarms"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// change is an alarm about a LIM that was raised or cleared.
func change(lim int, raised bool) alarms.Change {
	return alarms.Change{Raised: raised, Alarm: alarms.Alarm{Handle: lim, Name: alarms.LIMDown, Severity: alarms.Critical, LIM: lim, Server: fmt.Sprintf("srv%d", lim),
		RaisedAt: start, Text: fmt.Sprintf("LIM %d is down: no power", lim)}}
}

func raise(lim int) Message { return MessageOf(change(lim, true), start, "TEST", "sb1") }
func clear1(lim int) Message {
	return MessageOf(change(lim, false), start.Add(time.Minute), "TEST", "sb1")
}

// fakeSink takes messages as the test says.
type fakeSink struct {
	mu    sync.Mutex
	heard []string
	calls int
	busy  int
	twice bool                        // it was called while it was
	do    func(context.Context) error // nil: takes it
}

func (f *fakeSink) Name() string        { return "fake" }
func (f *fakeSink) Reach() alarms.Reach { return alarms.People }

func (f *fakeSink) Tell(ctx context.Context, m Message) error {
	f.mu.Lock()
	f.calls++
	f.busy++
	f.twice = f.twice || f.busy > 1
	do := f.do
	f.mu.Unlock()
	var err error
	if do != nil {
		err = do(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	if err == nil {
		f.heard = append(f.heard, fmt.Sprintf("%s %d", m.State, m.Handle))
	}
	return err
}

func (f *fakeSink) set(do func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.do = do
}

// said is all that it took.
func (f *fakeSink) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.heard, ", ")
}

// hang waits until it is ended.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// withSet runs a test in virtual time with a set of one sink that runs.
func withSet(t *testing.T, f *fakeSink, test func(t *testing.T, s *Set, changed *int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		changed := 0
		s := New(slog.New(slog.DiscardHandler), func() { changed++ }, f)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			s.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		test(t, s, &changed)
		cancel()
		<-ended
		if f.twice {
			t.Error("a sink was called while it was")
		}
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestMessagesAreToldInOrder(t *testing.T) {
	f := &fakeSink{}
	withSet(t, f, func(t *testing.T, s *Set, changed *int) {
		s.Put(raise(1))
		synctest.Wait()
		s.Put(raise(2))
		s.Put(clear1(1))
		pass(time.Second)
		if got := f.said(); got != "raised 1, raised 2, cleared 1" || *changed != 3 || s.Infos()[0].Told != 3 {
			t.Errorf("told %q, changed %d times, %+v", got, *changed, s.Infos())
		}
	})
}

// What is over before the sink was told of it is not told; what it may have been told is
// told to its end.
func TestWhatIsOverIsNotTold(t *testing.T) {
	f := &fakeSink{do: hang}
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		s.Put(raise(1))
		synctest.Wait() // it has begun with this one
		s.Put(raise(2))
		s.Put(clear1(2))
		s.Put(clear1(1))
		graver := raise(3)
		s.Put(graver)
		graver.Again = true
		s.Put(graver)
		if w := s.Waiting()["fake"]; len(w) != 3 || w[2].Again {
			t.Errorf("waiting: %+v", w)
		}
		f.set(nil)
		pass(time.Minute)
		if got := f.said(); got != "raised 1, cleared 1, raised 3" {
			t.Errorf("told %q", got)
		}
		f.set(hang)
		s.Put(raise(4))
		synctest.Wait()
		s.Put(graver) // of which it knows
		s.Put(clear1(3))
		f.set(nil)
		pass(time.Minute)
		if got := f.said(); got != "raised 1, cleared 1, raised 3, raised 4, cleared 3" {
			t.Errorf("told %q", got)
		}
	})
}

// A sink that hangs or fails keeps nobody; a message is tried again, then it is lost, which
// is counted.
func TestSinkThatHangs(t *testing.T) {
	f := &fakeSink{do: hang}
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		began := time.Now()
		for i := range maxWaiting + 10 {
			s.Put(raise(i + 1))
			synctest.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("putting took %s", took)
		}
		if i := s.Infos()[0]; i.Waiting != maxWaiting || i.Lost != 10 {
			t.Errorf("with too many: %+v", i)
		}
		pass(3*tellLimit + 22*time.Second)
		if i := s.Infos()[0]; i.Lost != 11 || i.Failed != 3 || !strings.Contains(i.Error, "did not end within 15s") {
			t.Errorf("after one was given up: %+v", i)
		}
		f.set(func(context.Context) error { return errors.New("no") })
		pass(tellLimit + 23*time.Second)
		if i := s.Infos()[0]; i.Lost < 12 || i.Error != "no" {
			t.Errorf("failing: %+v", i)
		}
	})
}

// What was not told when the agent ends is told by the next one, also what was on its way.
func TestWaitingIsRestored(t *testing.T) {
	f := &fakeSink{do: hang}
	var kept map[string][]Message
	withSet(t, f, func(_ *testing.T, s *Set, _ *int) {
		s.Put(raise(1))
		synctest.Wait()
		s.Put(raise(2))
		kept = s.Waiting()
	})
	f.do = nil
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		s.Restore(kept)
		pass(time.Second)
		if got := f.said(); got != "raised 1, raised 2" || len(s.Waiting()) != 0 {
			t.Errorf("told %q, waiting %v", got, s.Waiting())
		}
	})
}

// The end of an alarm is told by the next run, too, where a sink may have been told of its
// beginning when the former one ended.
func TestEndOfWhatWasInHandIsRestored(t *testing.T) {
	f := &fakeSink{}
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		s.Restore(map[string][]Message{"fake": {raise(1), clear1(1)}})
		pass(time.Second)
		if got := f.said(); got != "raised 1, cleared 1" {
			t.Errorf("told %q", got)
		}
	})
}

// A test that nobody waits for any more takes no room from alarms.
func TestTestsThatNobodyWaitsForAreForgotten(t *testing.T) {
	f := &fakeSink{do: hang}
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		s.Put(raise(1))
		synctest.Wait()
		called, cancel := context.WithCancel(t.Context())
		cancel()
		for range 2 * maxWaiting {
			s.Test(called, TestMessage(alarms.Critical, start, "TEST", "sb1", "root"))
		}
		s.Put(raise(2))
		if i := s.Infos()[0]; i.Waiting != 2 || i.Lost != 0 {
			t.Errorf("%+v", i)
		}
	})
}

// A test waits its turn, is not tried twice, and says what the sink said.
func TestTestOfASink(t *testing.T) {
	f := &fakeSink{}
	withSet(t, f, func(t *testing.T, s *Set, _ *int) {
		m := TestMessage(alarms.Critical, start, "TEST", "sb1", "root")
		if got := s.Test(t.Context(), m); len(got) != 1 || got[0] != (Result{Name: "fake"}) {
			t.Errorf("took it: %+v", got)
		}
		f.set(func(context.Context) error { return errors.New("no") })
		if got := s.Test(t.Context(), m); got[0].Error != "no" || s.Infos()[0].Lost != 0 {
			t.Errorf("failed: %+v, %+v", got, s.Infos())
		}
		f.set(hang)
		s.Put(raise(1))
		s.Put(raise(2))
		synctest.Wait()
		if got := s.Test(t.Context(), m); !strings.Contains(got[0].Error, "has not answered within 30s; 3 messages wait") {
			t.Errorf("behind others: %+v", got)
		}
	})
}
