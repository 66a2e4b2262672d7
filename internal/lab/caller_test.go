//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// callsOf makes a caller's record of calls that were sent 5 ms apart. An entry
// is the server that answered, and after what time; "" is no answer.
func callsOf(start time.Time, answers ...any) *Caller {
	c := &Caller{heard: make(chan struct{})}
	for i := 0; i < len(answers); i += 2 {
		k := call{sent: start.Add(time.Duration(i/2) * 5 * time.Millisecond), server: answers[i].(string)}
		if k.server != "" {
			k.answered = k.sent.Add(answers[i+1].(time.Duration))
		}
		c.calls = append(c.calls, k)
	}
	return c
}

func TestCallerBetween(t *testing.T) {
	start := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		answers  []any
		from, to time.Duration
		want     Service
	}{
		{"no call", nil, 0, time.Second, Service{}},
		{"all answered", []any{"a", 1 * ms, "a", 1 * ms, "a", 1 * ms}, 0, time.Second, Service{3, 0, 5 * ms, []string{"a"}}},
		{"two lost in a move", []any{"a", 1 * ms, "", 0, "", 0, "b", 3 * ms}, 0, time.Second, Service{4, 2, 17 * ms, []string{"a", "b"}}},
		// The second call waited for the address to be resolved: nothing is
		// lost, and yet there was silence.
		{"one answered late", []any{"a", 1 * ms, "b", 20 * ms, "b", 15 * ms, "b", 11 * ms}, 0, time.Second, Service{4, 0, 24 * ms, []string{"a", "b"}}},
		{"outside the span", []any{"", 0, "a", 1 * ms, "a", 1 * ms, "", 0}, 5 * ms, 10 * ms, Service{2, 0, 5 * ms, []string{"a"}}},
		{"none answered", []any{"", 0, "", 0}, 0, time.Second, Service{2, 2, 0, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := callsOf(start, c.answers...).Between(start.Add(c.from), start.Add(c.to))
			if got.Calls != c.want.Calls || got.Lost != c.want.Lost || got.Silence != c.want.Silence || !slices.Equal(got.By, c.want.By) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestCallerNote(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		answer string
		server string
	}{
		{"1 srv1 1", "srv1"},
		{"2 srv1 1", ""},  // no such call
		{"-1 srv1 1", ""}, // nor such a one
		{"x srv1 1", ""},
		{"1 srv1", ""},
		{"1 srv1 1 more", ""},
		{"", ""},
	} {
		t.Run(fmt.Sprintf("%q", c.answer), func(t *testing.T) {
			k := callsOf(at, "", 0, "", 0)
			k.note([]byte(c.answer), at)
			k.note([]byte("1 late 1"), at) // the first answer counts
			want := c.server
			if want == "" {
				want = "late"
			}
			if k.calls[1].server != want || k.calls[0].server != "" {
				t.Errorf("calls %+v, want the second answered by %q", k.calls, want)
			}
		})
	}
}

func TestCallerWaitAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := callsOf(start, "a", time.Duration(0), "", 0, "", 0)
		for _, w := range []struct {
			server string
			after  time.Time
			answer string // given while it waits
			found  bool
		}{
			{"a", start.Add(-1), "", true},
			{"", start.Add(-1), "", true},
			{"a", start, "", false}, // the call was not sent after
			{"b", start, "", false},
			{"b", start, "2 b 1", true},
			{"b", start, "", true},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			result := make(chan error, 1)
			go func() { result <- c.WaitAnswer(ctx, w.server, w.after) }()
			synctest.Wait()
			c.note([]byte(w.answer), time.Now())
			err := <-result
			cancel()
			if (err == nil) != w.found || (err != nil && !errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("server %q after %s: %v, want found: %v", w.server, w.after.Sub(start), err, w.found)
			}
		}
	})
}
