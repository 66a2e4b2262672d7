package settings

import (
	"testing"
	"time"

	"mxcluster/internal/compat"
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
