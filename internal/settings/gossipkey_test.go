package settings

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

func newKey(t *testing.T) Keys {
	t.Helper()
	key, err := NewKey(rand.Reader, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return Keys{key}
}

func TestKeyRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "gossip.key")
	key := newKey(t)
	if err := WriteKeys(path, key); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want a regular file with 0600", fi.Mode(), err)
	}
	got, err := LoadKeys(path)
	if err != nil || !got.Equal(key) {
		t.Errorf("LoadKeys = %x, %v, want %x", got, err, key)
	}
	if err := WriteKeys(path, key); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	wantFault(t, WriteKeys(path, newKey(t)), fault.Refused, "holds another gossip key", "another system")
	if got, err := LoadKeys(path); err != nil || !got.Equal(key) {
		t.Errorf("after the refusal: %x, %v, want %x", got, err, key)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNewKeyNeedsRandom(t *testing.T) {
	if _, err := NewKey(strings.NewReader("short"), time.Time{}); err == nil {
		t.Error("no error with too little random")
	}
	if a, b := newKey(t), newKey(t); !a[0].Valid() || a.Equal(b) {
		t.Errorf("keys %x and %x", a, b)
	}
}

func TestOneOfManyWritersWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gossip.key")
	var wg sync.WaitGroup
	won := make(chan Keys, 8)
	for range cap(won) {
		key := newKey(t)
		wg.Go(func() {
			if WriteKeys(path, key) == nil {
				won <- key
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d writers of different keys succeeded, want 1", len(won))
	}
	if got, err := LoadKeys(path); err != nil || !got.Equal(<-won) {
		t.Errorf("the file holds another key than the winner's: %v", err)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, keySize)) + "\n"
	file := func(text string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) { write(t, path, text, mode) }
	}
	tests := []struct {
		name          string
		make          func(*testing.T, string)
		code          fault.Code
		message, hint string
	}{
		{"missing", func(*testing.T, string) {}, fault.Invalid, "there is no gossip key", "mxcluster join"},
		{"readable by the group", file(good, 0o640), fault.NotPermitted, "has mode 0640", "chmod 600"},
		{"readable by all", file(good, 0o604), fault.NotPermitted, "has mode 0604", "chmod 600"},
		{"writable by all", file(good, 0o602), fault.NotPermitted, "has mode 0602", "chmod 600"},
		{"set-uid", file(good, 0o600|os.ModeSetuid), fault.NotPermitted, "has mode 4600", "chmod 600"},
		{"empty", file("", 0o600), fault.Invalid, "has 0 bytes instead of 32", "mxcluster init"},
		{"too short", file("c2hvcnQ=\n", 0o600), fault.Invalid, "has 5 bytes instead of 32", "copy the file"},
		{"too long", file(good[:43]+"A"+good[:44], 0o600), fault.Invalid, "instead of 32", "copy the file"},
		{"not base64", file("correct horse battery staple\n", 0o600), fault.Invalid, "is not base64", "copy the file"},
		{"binary", file(strings.Repeat("\x00", keySize), 0o600), fault.Invalid, "is not base64", "copy the file"},
		{"huge", file(strings.Repeat("A", 1<<20), 0o600), fault.Invalid, "instead of 32", "copy the file"},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, fault.Invalid, "is not a regular file", "copy the file"},
		{"a FIFO nobody writes to", func(t *testing.T, path string) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, fault.Invalid, "is not a regular file", "copy the file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gossip.key")
			tt.make(t, path)
			key, err := LoadKeys(path)
			wantFault(t, err, tt.code, tt.message, tt.hint)
			if !strings.Contains(err.Error(), path) || key != nil {
				t.Errorf("error %q should name %s; key %x", err, path, key)
			}
		})
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		path := filepath.Join(t.TempDir(), "gossip.key")
		write(t, path, " "+good+"\n", mode)
		if _, err := LoadKeys(path); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestLoadKeyOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		const reason = "needs root, to give a file away"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	path := filepath.Join(t.TempDir(), "gossip.key")
	if err := WriteKeys(path, newKey(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	_, err := LoadKeys(path)
	wantFault(t, err, fault.NotPermitted, "belongs to user 65534", "chown root")
	wantFault(t, WriteKeys(path, newKey(t)), fault.NotPermitted, "belongs to user 65534", "chown root")
}
