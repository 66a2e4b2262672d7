package settings

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestSeveralKeys(t *testing.T) {
	made := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	first, second := newKey(t)[0], newKey(t)[0]
	second.Made = made
	path := filepath.Join(t.TempDir(), "gossip.key")
	if err := WriteKeys(path, Keys{second, first}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadKeys(path)
	if err != nil || !got.Equal(Keys{second, first}) || !got[0].Made.Equal(made) || !got[1].Made.IsZero() {
		t.Errorf("got %v, %v", got.Fingerprints(), err)
	}
	// A newer copy of the file of this system goes in its place, any other does not.
	if err := WriteKeys(path, Keys{second}); err != nil {
		t.Errorf("a newer copy: %v", err)
	}
	if got, err := LoadKeys(path); err != nil || !got.Equal(Keys{second}) {
		t.Errorf("got %v, %v", got.Fingerprints(), err)
	}
	wantFault(t, WriteKeys(path, newKey(t)), fault.Refused, "another gossip key", "another system")
}

func TestReplaceKeys(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gossip.key")
	old, next := newKey(t), newKey(t)
	if err := WriteKeys(filepath.Join(dir, "real"), old); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", path); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceKeys(path, old, append(old, next...)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	// Somebody edited it: what was to be replaced is not there any more.
	wantFault(t, ReplaceKeys(path, old, next), fault.Busy, "was edited meanwhile", "agent reload")
	if got, err := LoadKeys(path); err != nil || len(got) != 2 {
		t.Errorf("%d keys, %v", len(got), err)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	line := func(fill string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, keySize)))
	}
	for text, message := range map[string]string{
		line("a") + "\nshort\n":                                "line 2: gossip key is not base64",
		line("a") + "\n" + line("a") + " 2026-03-01T02:00:00Z": "line 2: the gossip key is there twice",
		line("a") + " yesterday":                               `"yesterday" behind the gossip key is not a time`,
		strings.Join([]string{line("a"), line("b"), line("c"), line("d"), line("e")}, "\n"): "5 gossip keys, more than 4",
	} {
		keys, err := ParseKeys([]byte(text))
		wantFault(t, err, fault.Invalid, message, "copy the file")
		if keys != nil {
			t.Errorf("%q: keys all the same", message)
		}
	}
	if keys, err := ParseKeys([]byte("\n" + line("a") + "\n\n" + line("b") + "\n")); err != nil || len(keys) != 2 {
		t.Errorf("empty lines: %d keys, %v", len(keys), err)
	}
}

// A fingerprint tells keys apart and nothing of what is in them.
func TestFingerprint(t *testing.T) {
	a, b := newKey(t)[0], newKey(t)[0]
	if a.Fingerprint() == b.Fingerprint() || len(a.Fingerprint()) != 16 {
		t.Errorf("%s and %s", a.Fingerprint(), b.Fingerprint())
	}
}
