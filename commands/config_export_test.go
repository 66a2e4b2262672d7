package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

const exportedSecret = "a-password-of-etcd"

// exporting is a server of a system, with the files that make it one, and a file with a passphrase.
func exporting(t *testing.T) (w *world, phrase string) {
	t.Helper()
	w = newWorld(t.TempDir())
	if err := addAddresses(w.kernel, "eth0", "10.0.0.21/24"); err != nil {
		t.Fatal(err)
	}
	w.environ["MXCLUSTER_SERVER"] = ""
	w.document(t, clusterconftest.OneCluster)
	w.file(t, "etc/gossip.key", base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 0o600)
	w.file(t, "etc/mxcluster.yaml", "server: srv1 # this one\narbiter:\n  etcd:\n    endpoints: [\"http://10.0.0.60:2379\"]\n    user: mx\n    password_file: "+w.path("etc/etcd.pass")+"\n", 0o644)
	w.file(t, "etc/etcd.pass", exportedSecret+"\n", 0o600)
	w.file(t, "etc/ssh/id_ed25519", "a private key\n", 0o600)
	w.file(t, "phrase", "some words that nobody guesses\n", 0o600)
	return w, w.path("phrase")
}

// file writes a file of the world.
func (w *world) file(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (w *world) content(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A server that is lost is set up again by its export, in the same folders of an empty machine.
func TestExportSetsAServerUpAgain(t *testing.T) {
	w, phrase := exporting(t)
	file := w.path("srv1.age")
	w.must(t, "config", "export", file, "--passphrase-file", phrase)
	sealed := w.content(t, "srv1.age")
	for _, secret := range []string{exportedSecret, "a private key", "AAAAAAAAAAAA"} {
		if strings.Contains(sealed, secret) {
			t.Errorf("the export shows %q", secret)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the export has mode %v (%v)", info.Mode(), err)
	}
	shown := w.must(t, "config", "show").out
	names := []string{"etc/gossip.key", "etc/mxcluster.yaml", "etc/etcd.pass", "etc/ssh/id_ed25519"}
	want := map[string]string{}
	for _, name := range names {
		want[name] = w.content(t, name)
	}
	for _, dir := range []string{"etc", "var"} {
		if err := os.RemoveAll(w.path(dir)); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.must(t, "config", "import", file, "--passphrase-file", phrase, "-n"); !strings.Contains(a.out, "would become srv1") {
		t.Errorf("the dry run said %q", a.out)
	}
	if _, err := os.Stat(w.path("etc")); err == nil {
		t.Error("the dry run wrote something")
	}
	a := w.must(t, "config", "import", file, "--passphrase-file", phrase)
	if !strings.Contains(a.err, "this machine is srv1") || !strings.Contains(a.err, "revision 6") {
		t.Errorf("said %q", a.err)
	}
	for _, name := range names {
		if got := w.content(t, name); got != want[name] {
			t.Errorf("%s is\n%swas\n%s", name, got, want[name])
		}
	}
	if got := w.must(t, "config", "show").out; got != shown {
		t.Errorf("the document is\n%swas\n%s", got, shown)
	}
	for _, name := range []string{"etc/gossip.key", "etc/etcd.pass", "etc/ssh/id_ed25519"} {
		if info, err := os.Stat(w.path(name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v (%v)", name, info.Mode(), err)
		}
	}
	if a := w.must(t, "config", "import", file, "--passphrase-file", phrase); strings.Contains(a.err, "newer") { // once more: nothing to ask
		t.Errorf("said %q", a.err)
	}
}

// By --server a machine becomes another server of the system, without what is the first one's own.
func TestImportAsAnotherServer(t *testing.T) {
	w, phrase := exporting(t)
	w.must(t, "config", "export", w.path("srv1.age"), "--passphrase-file", phrase)
	other := newWorld(t.TempDir())
	other.environ["MXCLUSTER_SERVER"] = ""
	if err := addAddresses(other.kernel, "eth0", "10.0.0.22/24"); err != nil {
		t.Fatal(err)
	}
	if a := other.run(t.Context(), "config", "import", w.path("srv1.age"), "--passphrase-file", phrase); a.code != fault.Refused ||
		!strings.Contains(a.err, "none of the addresses of srv1") || !strings.Contains(a.err, "--server srv2") {
		t.Errorf("as srv1: %d, %q", a.code, a.err)
	}
	a := other.must(t, "config", "import", w.path("srv1.age"), "--passphrase-file", phrase, "--server", "srv2")
	if !strings.Contains(a.err, "this machine is srv2") || !strings.Contains(a.err, "sync setup-ssh") {
		t.Errorf("said %q", a.err)
	}
	if got := other.content(t, "etc/mxcluster.yaml"); got != "server: srv2\n" {
		t.Errorf("the settings are %q", got)
	}
	for _, name := range []string{"etc/etcd.pass", "etc/ssh"} {
		if _, err := os.Stat(other.path(name)); err == nil {
			t.Errorf("it took %s of srv1", name)
		}
	}
}

func TestImportKeepsWhatIsNewer(t *testing.T) {
	w, phrase := exporting(t)
	w.must(t, "config", "export", w.path("srv1.age"), "--passphrase-file", phrase)
	w.must(t, "change", "c1", "--fallback", "automatic")
	newer := w.content(t, "etc/cluster.yaml")
	if a := w.must(t, "config", "import", w.path("srv1.age"), "--passphrase-file", phrase); !strings.Contains(a.err, "the newer one that is here stays") {
		t.Errorf("said %q", a.err)
	}
	if w.content(t, "etc/cluster.yaml") != newer {
		t.Error("the newer document was replaced")
	}
	rotated := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)) + " 2026-04-01T00:00:00Z\n" + w.content(t, "etc/gossip.key")
	w.file(t, "etc/gossip.key", rotated, 0o600)
	w.must(t, "config", "import", w.path("srv1.age"), "--passphrase-file", phrase)
	if w.content(t, "etc/gossip.key") != rotated {
		t.Error("a key that was made since was replaced")
	}
	w.file(t, "etc/gossip.key", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{2}, 32))+"\n", 0o600)
	if a := w.run(t.Context(), "config", "import", w.path("srv1.age"), "--passphrase-file", phrase, "-n"); a.code != fault.Refused {
		t.Errorf("the key of another system: %d, %q", a.code, a.err)
	}
}

func TestExportAndImportRefuse(t *testing.T) {
	w, phrase := exporting(t)
	file := w.path("srv1.age")
	w.must(t, "config", "export", file, "--passphrase-file", phrase)
	w.file(t, "other", "some other words of mine\n", 0o600)
	w.file(t, "open", "some words that nobody guesses\n", 0o644)
	w.file(t, "short", "password\n", 0o600)
	w.file(t, "cut.age", w.content(t, "srv1.age")[:600], 0o600)
	w.file(t, "none.age", "clusters: []\n", 0o600)
	for name, x := range map[string]struct {
		code fault.Code
		says string
		args []string
	}{
		"no passphrase":       {fault.Usage, "--passphrase-file", []string{"export", w.path("new")}},
		"a readable one":      {fault.NotPermitted, "chmod 600", []string{"export", w.path("new"), "--passphrase-file", w.path("open")}},
		"a short one":         {fault.Refused, "at least 12", []string{"export", w.path("new"), "--passphrase-file", w.path("short")}},
		"a file that is":      {fault.Usage, "--yes", []string{"export", file, "--passphrase-file", phrase}},
		"a wrong one":         {fault.NotPermitted, "wrong", []string{"import", file, "--passphrase-file", w.path("other")}},
		"a damaged export":    {fault.Conflict, "damaged", []string{"import", w.path("cut.age"), "--passphrase-file", phrase}},
		"no export":           {fault.Invalid, "no export", []string{"import", w.path("none.age"), "--passphrase-file", phrase}},
		"no file":             {fault.NotFound, "config export", []string{"import", w.path("nowhere"), "--passphrase-file", phrase}},
		"an unknown server":   {fault.NotFound, "srv1", []string{"import", file, "--passphrase-file", phrase, "--server", "srv11"}},
		"nothing to write to": {fault.Failed, "no such", []string{"export", w.path("no/folder"), "--passphrase-file", phrase}},
	} {
		t.Run(name, func(t *testing.T) {
			if a := w.run(t.Context(), append([]string{"config"}, x.args...)...); a.code != x.code || !strings.Contains(a.err, x.says) {
				t.Errorf("exit %d and %q; want %d and %q", a.code, a.err, x.code, x.says)
			}
		})
	}
	t.Run("settings of another kind", func(t *testing.T) {
		w.file(t, "etc/mxcluster.yaml", "server: srv1\nxdata_dir: /data\n", 0o644)
		if a := w.run(t.Context(), "config", "import", file, "--passphrase-file", phrase); a.code != fault.Usage || !strings.Contains(a.err, "--yes") {
			t.Errorf("exit %d and %q", a.code, a.err)
		}
		if !strings.Contains(w.content(t, "etc/mxcluster.yaml"), "/data") {
			t.Error("they were replaced unasked")
		}
		w.must(t, "config", "import", file, "--passphrase-file", phrase, "--yes")
	})
	t.Run("an agent that runs", func(t *testing.T) {
		w.agent.running = true
		defer func() { w.agent.running = false }()
		if a := w.run(t.Context(), "config", "import", file, "--passphrase-file", phrase); a.code != fault.Refused {
			t.Errorf("exit %d and %q", a.code, a.err)
		}
	})
	t.Run("to standard output", func(t *testing.T) {
		if a := w.must(t, "config", "export", "-", "--passphrase-file", phrase); !bytes.HasPrefix([]byte(a.out), []byte("age-encryption.org/v1")) {
			t.Errorf("wrote %.40q", a.out)
		}
	})
}
