package commands

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// unpacked are the files of a bundle, by name.
func unpacked(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = string(data)
	}
}

const (
	fakeKeyLine = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
	fakeKey     = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + fakeKeyLine + "\nQyNTUxOQ\n-----END OPENSSH PRIVATE KEY-----\n"
)

// planting is a server with secrets wherever people have them, and what must not be in a bundle.
func planting(t *testing.T) (w *world, secrets []string) {
	t.Helper()
	w, _ = exporting(t)
	gossip, older, stranger := []byte("0123456789abcdef0123456789ABCDEF"), []byte("fedcba9876543210fedcba9876543210"), []byte("a-key-of-another-system-32-bytes")
	b64 := base64.StdEncoding.EncodeToString
	w.file(t, "etc/gossip.key", b64(gossip)+"\n"+b64(older)+"\n", 0o600)
	w.file(t, "etc/community", "community-of-snmp\n", 0o600)
	w.file(t, "etc/auth.pass", "auth-phrase-of-snmp\n", 0o600)
	w.file(t, "etc/priv.pass", "priv-phrase-of-snmp\n", 0o600)
	w.file(t, "etc/exec", "#!/bin/sh\n", 0o755)
	w.file(t, "etc/ssh/id_ed25519", fakeKey, 0o600)
	w.file(t, "etc/mxcluster.yaml", "server: srv1 # secret-in-a-comment\n"+
		"sync:\n  rsh: sshpass -p password-of-ssh ssh {address}\n"+
		"alarms:\n  exec: "+w.path("etc/exec")+" --key argument-of-the-program\n"+
		"  snmp:\n    targets: 10.0.0.60\n    version: \"3\"\n    user: mx\n    community_file: "+w.path("etc/community")+"\n    auth_file: "+w.path("etc/auth.pass")+"\n    priv_file: "+w.path("etc/priv.pass")+"\n"+
		"arbiter:\n  etcd:\n    endpoints: [\"http://10.0.0.60:2379\"]\n    user: mx\n    password_file: "+w.path("etc/etcd.pass")+"\n", 0o644)
	w.file(t, "var/sync/lim1", `{"lastError":"psql postgres://mxone:password-in-a-url@db/x failed"}`, 0o600)
	w.environ["PGPASSWORD"] = "password-of-the-environment"
	journal := []string{
		"raw key " + string(gossip), "hex key " + hex.EncodeToString(gossip), "HEX " + strings.ToUpper(hex.EncodeToString(older)), "base64 " + b64(gossip), "url " + base64.RawURLEncoding.EncodeToString(older),
		"another's " + b64(stranger) + " and " + hex.EncodeToString(stranger),
		"community community-of-snmp refused", "auth auth-phrase-of-snmp", "priv priv-phrase-of-snmp in base64 " + b64([]byte("priv-phrase-of-snmp")), "etcd said " + exportedSecret,
		"conninfo host=10.0.0.1 password='password in a conninfo' user=x", `json {"password": "password-in-json", "x": 1}`, "https://root:password-of-etcd@10.0.0.5:2379/health",
		"ran tool --password password-of-an-argument now", "Authorization: Bearer token-of-http", "SNMP_COMMUNITY=community-of-a-variable", "api_token: token-in-yaml",
		fakeKey, "first line of the key " + fakeKeyLine, "PGPASSWORD=password-of-the-environment psql",
	}
	tell := strings.Join(journal, "\n")
	w.tell = func(words []string) ([]byte, error) {
		switch words[0] {
		case "journalctl":
			return []byte(tell), nil
		case "nft":
			return nil, errors.New("executable file not found")
		}
		return []byte(strings.Join(words, " ") + " says something of 10.0.0.21\n"), nil
	}
	secrets = []string{
		"secret-in-a-comment", "password-of-ssh", "argument-of-the-program", "community-of-snmp", "auth-phrase-of-snmp", "priv-phrase-of-snmp", exportedSecret,
		"password-in-a-url", "password-of-the-environment", "password in a conninfo", "password-in-json", "password-of-etcd", "password-of-an-argument", "token-of-http", "community-of-a-variable",
		"token-in-yaml", fakeKeyLine, "QyNTUxOQ", string(gossip), string(older), string(stranger),
	}
	return w, secrets
}

func TestNoSecretIsInASupportBundle(t *testing.T) {
	w, secrets := planting(t)
	w.must(t, "support-bundle", w.path("b.tar.gz"))
	info, err := os.Stat(w.path("b.tar.gz"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the bundle: %v, %v", info, err)
	}
	files := unpacked(t, w.path("b.tar.gz"))
	for name, text := range files {
		for _, s := range secrets {
			for how, form := range map[string]string{"as it is": s, "in hex": hex.EncodeToString([]byte(s)), "in base64": base64.RawStdEncoding.EncodeToString([]byte(s)), "in base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(s))} {
				if strings.Contains(strings.ToLower(name+text), strings.ToLower(form)) {
					t.Errorf("%s has %q %s", name, s, how)
				}
			}
		}
	}
	for name, want := range map[string]string{
		"README": "kernel/nftables: executable file not found", "cluster.yaml": "10.0.0.21/24", "settings": "alarms.exec: " + w.path("etc/exec") + " (left out)", "check.json": "CheckReport",
		"kernel/addresses": "of 10.0.0.21", "journal": "conninfo host=10.0.0.1", "sync/lim1": "postgres://mxone:", "version.json": "1.2.3", "status.json": "ClusterStatus", "history.json": "", "events.json": "",
	} {
		if text, ok := files["mxcluster-srv1/"+name]; !ok || !strings.Contains(text, want) {
			t.Errorf("%s (there: %t) lacks %q:\n%.2000s", name, ok, want, text)
		}
	}
}

func TestASupportBundleReplacesNothingUnasked(t *testing.T) {
	w, _ := planting(t)
	w.file(t, "b.tar.gz", "another's", 0o644)
	if a := w.run(t.Context(), "support-bundle", w.path("b.tar.gz")); a.code == fault.OK || w.content(t, "b.tar.gz") != "another's" {
		t.Errorf("code %d, %s", a.code, a.err)
	}
	w.must(t, "support-bundle", "--yes", w.path("b.tar.gz"))
	if len(unpacked(t, w.path("b.tar.gz"))) < 10 {
		t.Error("no bundle in its place")
	}
}

// The bundle is wanted most where little works.
func TestASupportBundleOfABrokenServer(t *testing.T) {
	w, _ := planting(t)
	w.file(t, "etc/mxcluster.yaml", "no: such\nkey: at all\n", 0o644)
	w.file(t, "etc/cluster.yaml", "neither\n", 0o644)
	w.tell = func([]string) ([]byte, error) { return nil, context.DeadlineExceeded }
	w.must(t, "support-bundle", w.path("b.tar.gz"))
	readme := unpacked(t, w.path("b.tar.gz"))["mxcluster-server/README"]
	for _, want := range []string{"* settings: ", "* cluster.yaml: ", "* journal: "} {
		if !strings.Contains(readme, want) {
			t.Errorf("README lacks %q:\n%s", want, readme)
		}
	}
}

func TestASupportBundleThatCannotBeWrittenLeavesNothing(t *testing.T) {
	w, _ := planting(t)
	if a := w.run(t.Context(), "support-bundle", w.path("absent/b.tar.gz")); a.code == fault.OK {
		t.Errorf("code %d", a.code)
	}
	if found, err := filepath.Glob(w.path("absent*")); err != nil || len(found) > 0 {
		t.Errorf("left: %q, %v", found, err)
	}
}
