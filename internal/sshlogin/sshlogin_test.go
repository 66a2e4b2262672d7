package sshlogin

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mxcluster/internal/fault"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureKey(t *testing.T) {
	l := Login{Dir: filepath.Join(t.TempDir(), "ssh")}
	one, made, err := l.EnsureKey()
	if err != nil || !made || !strings.HasPrefix(one, "ssh-ed25519 AAAA") {
		t.Fatalf("%q, %v, %v", one, made, err)
	}
	two, made, err := l.EnsureKey()
	if err != nil || made || one != two {
		t.Errorf("again: %q, %v, %v", two, made, err)
	}
	must(t, os.Chmod(l.keyFile(), 0o644))
	if _, _, err := l.EnsureKey(); fault.CodeOf(err) != fault.Refused || fault.HintOf(err) == "" {
		t.Errorf("a key that others may read: %v", err)
	}
	must(t, os.WriteFile(l.keyFile(), []byte("rubbish"), 0o600))
	must(t, os.Chmod(l.keyFile(), 0o600))
	if _, _, err := l.EnsureKey(); fault.CodeOf(err) != fault.Failed {
		t.Errorf("a damaged key: %v", err)
	}
}

func TestAuthorize(t *testing.T) {
	l := Login{Dir: t.TempDir()}
	key, _, err := l.EnsureKey()
	must(t, err)
	file := filepath.Join(t.TempDir(), ".ssh", "authorized_keys")
	g := Grant{From: "sb1", Key: key, Command: `/opt/my "x" sync ssh-command`}
	for i, want := range []bool{true, false} {
		if changed, err := Authorize(file, g); err != nil || changed != want {
			t.Errorf("%d: %v, %v", i, changed, err)
		}
	}
	data, err := os.ReadFile(file)
	must(t, err)
	line := `restrict,command="/opt/my \"x\" sync ssh-command" ` + key + " mxcluster-sync:sb1\n"
	if string(data) != line {
		t.Errorf("%q, want %q", data, line)
	}
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	// Other lines stay, without a line end too; a new key replaces the old one.
	const other = "ssh-rsa AAAAB3 somebody@else"
	must(t, os.WriteFile(file, []byte("# mine\n"+line+other), 0o600))
	key2, _, err := Login{Dir: t.TempDir()}.EnsureKey()
	must(t, err)
	g.Key = key2
	_, err = Authorize(file, g)
	must(t, err)
	data, err = os.ReadFile(file)
	must(t, err)
	if want := "# mine\n" + strings.ReplaceAll(line, key, key2) + other + "\n"; string(data) != want {
		t.Errorf("%q, want %q", data, want)
	}
}

// What another server sends is no way to get options or lines in.
func TestAuthorizeRefuses(t *testing.T) {
	key, _, err := Login{Dir: t.TempDir()}.EnsureKey()
	must(t, err)
	file := filepath.Join(t.TempDir(), "authorized_keys")
	for _, g := range []Grant{
		{From: "sb1", Key: ""},
		{From: "sb1", Key: "ssh-ed25519"},
		{From: "sb1", Key: `command="sh" ` + key},
		{From: "sb1", Key: key + "\n" + key},
		{From: "sb1", Key: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQDX"},
		{From: "sb1\nssh-rsa x", Key: key},
		{From: "sb1", Key: key, Command: "a\nb"},
	} {
		if changed, err := Authorize(file, g); err == nil || changed {
			t.Errorf("%+v: taken", g)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("something was written")
	}
}

// Where others may change the file, or put a link in its place, nothing is written.
func TestAuthorizeWhereOthersMayWrite(t *testing.T) {
	key, _, err := Login{Dir: t.TempDir()}.EnsureKey()
	must(t, err)
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	dir := filepath.Join(t.TempDir(), ".ssh")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, 0o777))
	file := filepath.Join(dir, "authorized_keys")
	must(t, os.Symlink(victim, file))
	changed, err := Authorize(file, Grant{From: "sb1", Key: key, Command: "x"})
	if fault.CodeOf(err) != fault.NotPermitted || changed {
		t.Errorf("%v, %v", changed, err)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
	// A link of who has the folder is their own business.
	must(t, os.Chmod(dir, 0o700))
	if changed, err := Authorize(file, Grant{From: "sb1", Key: key, Command: "x"}); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
}

// Many at once: none is lost.
func TestAuthorizeAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authorized_keys")
	var wg sync.WaitGroup
	for i := range 20 {
		dir := t.TempDir()
		wg.Go(func() {
			key, _, err := Login{Dir: dir}.EnsureKey()
			if err == nil {
				_, err = Authorize(file, Grant{From: "srv" + string(rune('a'+i)), Key: key, Command: "x"})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(file)
	must(t, err)
	if n := strings.Count(string(data), "\n"); n != 20 {
		t.Errorf("%d lines, want 20", n)
	}
}

// The first value that ssh finds counts: what somebody chose comes before our ciphers.
func TestCiphersComeLast(t *testing.T) {
	l := Login{Dir: t.TempDir()}
	must(t, l.Add(Host{Name: "sb1"}))
	text, err := os.ReadFile(l.Config())
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, want := range []string{"# ", "Include ", "Match originalhost !sb1,*", "  Include ~/", "Match all", "  Include /etc/", "  Ciphers aes128-gcm@openssh.com,"} {
		if len(lines) != 7 || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("%q", lines)
		}
	}
}
