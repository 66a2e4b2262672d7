package settings

import (
	"os"
	"strings"
	"testing"
)

// What an agent works by is compared with the file as it is now, and with nothing that does
// not change a setting.
func TestSettingsThatDifferFromThoseOnTheDisk(t *testing.T) {
	d := Dirs{Config: t.TempDir(), State: t.TempDir()}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.Settings(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("server: srv1\n")
	used, err := Load(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"server: srv1\n", ""},
		{"# a word\nserver: srv1\nalias.lease: 3s\n", ""},
		{"server: srv1\nalias.lease: 4s\n", d.Settings() + " was changed since it started; `systemctl restart"},
		{"server: srv1\nalias.leese: 4s\n", "they cannot be used, and it could not start again: " + d.Settings() + ":2"},
		{"server: srv1\n", ""},
	} {
		write(c.text)
		if got := d.Differ(used, nil); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%q: %q", c.text, got)
		}
	}
}

// The login of syncs, once it is set up, changes the default of sync.rsh, which each sync reads for
// itself: an agent need not be started anew for it.
func TestSettingUpTheLoginOfSyncsIsNoOtherSetting(t *testing.T) {
	d := Dirs{Config: t.TempDir(), State: t.TempDir()}
	used, err := Load(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.SSH(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.SSH()+"/config", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if now, err := Load(d, nil); err != nil || now.SyncRSH == used.SyncRSH {
		t.Fatalf("the login of syncs is no default: %v", err)
	}
	if got := d.Differ(used, nil); got != "" {
		t.Error(got)
	}
}
