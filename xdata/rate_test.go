package xdata

import (
	"bytes"
	"io"
	"testing"

	"mxcluster/internal/fault"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"1000": 1000 << 10, "500k": 500 << 10, "10M": 10 << 20, "10m": 10 << 20, "1.5M": 3 << 19, "2MiB/s": 2 << 20, "2MB/s": 2 << 20,
		"1G": 1 << 30, "800b": 800, "8kbit": 1000, "100Mbit": 12_500_000, "100Mbit/s": 12_500_000, "1Gbit": 125_000_000, " 3 M ": 3 << 20,
		"100Mbps": 0, "1Mbitps": 125_000,
	} {
		got, err := ParseRate(text)
		if want == 0 {
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "-5M", "fast", "10X", "1e9", "1.2.3M", "0.0001b", "9999999999G", "M", "1 0M", "NaN", "Inf"} {
		if got, err := ParseRate(text); fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// loop is a connection that gives back what was written to it.
type loop struct{ bytes.Buffer }

func (*loop) Close() error { return nil }

// A slow connection carries the same bytes, and its end is not waited for.
func TestLimited(t *testing.T) {
	c := limit(&loop{}, Request{Rate: 50 << 20})
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	if n, err := c.Write(data); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("what came back differs (%v)", err)
	}
	slow := limit(&loop{}, Request{Rate: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = slow.Write(data[:1000])
	}()
	must(t, slow.Close())
	wait(t, done, "the writing to end")
}
