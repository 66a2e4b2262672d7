package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	for _, tc := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 0, 0, "LIM 1  0 B"},
		{512, 0, time.Second, "LIM 1  512 B  512 B/s"},
		{10 << 20, 40 << 20, 2 * time.Second, "LIM 1  10.0 MiB of 40.0 MiB  25 %  5.0 MiB/s  6s left"},
		{40 << 20, 40 << 20, 2 * time.Second, "LIM 1  40.0 MiB of 40.0 MiB  100 %  20.0 MiB/s"},
		{1010 << 10, 0, 0, "LIM 1  1.0 MiB"},
	} {
		if got := progressLine("LIM 1", tc.done, tc.total, tc.took); got != tc.want {
			t.Errorf("%d of %d in %s: %q, want %q", tc.done, tc.total, tc.took, got, tc.want)
		}
	}
}

// It draws at most ten times a second, on one line, and leaves nothing behind.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := NewProgress(&out, "x", 100, func() time.Time { return now })
	for range 100 {
		p.Add(1)
		now = now.Add(10 * time.Millisecond)
	}
	p.Close()
	if n := strings.Count(out.String(), "\r"); n != 11 {
		t.Errorf("drawn %d times: %q", n, out.String())
	}
	if !strings.HasSuffix(out.String(), "\r\x1b[K") || strings.Contains(out.String(), "\n") {
		t.Errorf("%q", out.String())
	}
	var none *Progress
	none.Add(1)
	none.Expect(2)
	none.Close()
}
