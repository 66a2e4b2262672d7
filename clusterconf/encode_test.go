package clusterconf

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A document in canonical form is written as it was read.
func TestEncodeIsCanonical(t *testing.T) {
	for _, text := range []string{twoLIMs, full} {
		if got := string(Encode(mustParse(t, text))); got != header+text {
			t.Errorf("got\n%s\nwant\n%s", got, header+text)
		}
	}
}

// Order in the file and in memory makes no difference, but that of services does.
func TestEncodeSorts(t *testing.T) {
	d := mustParse(t, full)
	want := Encode(d)
	shuffled := d.Clone()
	slices.Reverse(shuffled.Servers)
	slices.Reverse(shuffled.Clusters[0].LIMs)
	slices.Reverse(shuffled.LIMs[0].Gateways)
	if got := Encode(shuffled); string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if shuffled.Servers[0].Name != "srv2" {
		t.Error("Encode changed its argument")
	}
	if Hash(shuffled) != Hash(d) {
		t.Error("order changes the hash")
	}
	slices.Reverse(shuffled.LIMs[0].Services)
	if Hash(shuffled) == Hash(d) {
		t.Error("order of services does not change the hash")
	}
}

func TestRoundTrip(t *testing.T) {
	documents := map[string]*Document{
		"two LIMs": mustParse(t, twoLIMs), "full": mustParse(t, full), "no cluster": uncreated(), "large": large(124),
	}
	for name, d := range documents {
		t.Run(name, func(t *testing.T) {
			first := Encode(d)
			back, err := Parse("test.yaml", first)
			if err != nil {
				t.Fatal(err)
			}
			d.sort()
			if !reflect.DeepEqual(back, d) {
				t.Errorf("got  %+v\nwant %+v", back, d)
			}
			if second := Encode(back); string(second) != string(first) {
				t.Errorf("got\n%s\nwant\n%s", second, first)
			}
		})
	}
}

// Texts that look like other YAML types come back as they were.
func TestEncodeQuotes(t *testing.T) {
	d := mustParse(t, twoLIMs)
	for _, reason := range []string{"no", "010", "null", "2026-01-01", "a: b", "# c", "'", `"`, "- x", "ä€", "&a", "!!str x", " x ", "<<", "=", strings.Repeat("word ", 100)} {
		d.Changed.Reason = reason
		back, err := Parse("test.yaml", Encode(d))
		if err != nil {
			t.Errorf("%q: %v", reason, err)
		} else if back.Changed.Reason != reason {
			t.Errorf("%q became %q", reason, back.Changed.Reason)
		}
	}
}

func TestHash(t *testing.T) {
	d := mustParse(t, twoLIMs)
	h := Hash(d)
	if !strings.HasPrefix(h, "sha256:") || len(h) != len("sha256:")+64 {
		t.Errorf("hash %q", h)
	}
	d.Clusters[0].LIMs[0].Priority++
	if Hash(d) == h {
		t.Error("a change does not change the hash")
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond: "300ms", 10 * time.Second: "10s", 5 * time.Minute: "5m",
		2 * time.Hour: "2h", 90 * time.Second: "1m30s", time.Hour + time.Second: "1h0m1s", 0: "0s", 10 * time.Hour: "10h",
	} {
		text, err := Duration(d).MarshalText()
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", d, text, err)
		}
		var back Duration
		if err := back.UnmarshalText(text); err != nil || back != Duration(d) {
			t.Errorf("%s came back as %s, %v", d, back, err)
		}
	}
}
