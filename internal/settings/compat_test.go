package settings

import (
	"strings"
	"testing"
	"time"

	"mxcluster/internal/compat"
	"mxcluster/internal/fault"
)

// Settings of earlier versions are read as they were meant.
func TestSettingsOfEarlierVersions(t *testing.T) {
	compat.Each(t, compat.Recorded(t, "settings"), func(t *testing.T, in compat.Input) {
		d := instance(t, string(in.Content))
		s, err := Load(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.AliasLease != 2*time.Second || s.StartGrace != 2*time.Second || s.XDataStill != time.Second || s.SyncRSH == "" {
			t.Errorf("read is %+v", s)
		}
	})
}

// Settings of a later version are not half understood: the error says where which one stands. An
// agent that started before goes on, and says that it could not start again.
func TestSettingsOfTheFuture(t *testing.T) {
	want := map[string]string{
		"unknown-key.yaml":   ":4: unknown setting alias.renewal",
		"unknown-group.yaml": ":2: unknown setting limits",
		"other-form.yaml":    ":3: gossip.port: ",
	}
	compat.Each(t, compat.OfTheFuture(t, "settings"), func(t *testing.T, in compat.Input) {
		d := instance(t, "server: srv1\n")
		used, err := Load(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(t, d.Settings(), string(in.Content), 0o644)
		_, err = Load(d, nil)
		wantFault(t, err, fault.Invalid, want[in.Name], "")
		if got := d.Differ(used, nil); want[in.Name] == "" || !strings.Contains(got, "could not start again") || !strings.Contains(got, want[in.Name]) {
			t.Errorf("of what was changed it says %q", got)
		}
	})
}

// FuzzKeys reads any file of gossip keys: what is read is written as it was meant.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= 2026-12-02T10:00:00Z\n\nBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		again, err := ParseKeys([]byte(keys.format()))
		if err != nil || !again.Equal(keys) || len(keys) == 0 || len(keys) > MaxKeys {
			t.Errorf("%d keys, written and read again %d, %v", len(keys), len(again), err)
		}
	})
}
