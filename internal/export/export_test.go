package export

import (
	"archive/tar"
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"mxcluster/internal/fault"
)

const (
	phrase    = "correct horse battery"
	testsWork = 2
)

func archive() *Archive {
	return &Archive{
		About: About{APIVersion: "mxcluster/v1", Version: "1", MadeAt: time.Date(2026, 12, 2, 3, 4, 5, 0, time.UTC), Server: "srv1", System: "S", Revision: 7},
		Files: []File{{"cluster.yaml", 0o644, []byte("revision: 7\n")}, {"ssh/id", 0o600, []byte("secret")}, {"empty", 0o600, []byte{}}},
	}
}

func sealed(t *testing.T, a *Archive) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, a, phrase, testsWork); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	want, text := archive(), sealed(t, archive())
	if bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte("revision")) {
		t.Error("it can be read without the passphrase")
	}
	got, err := Read(bytes.NewReader(text), phrase)
	if err != nil {
		t.Fatal(err)
	}
	want.About.Kind = aboutKind
	if got.About != want.About {
		t.Errorf("it says %+v, wrote %+v", got.About, want.About)
	}
	if !slices.EqualFunc(got.Files, want.Files, func(a, b File) bool {
		return a.Name == b.Name && a.Mode == b.Mode && bytes.Equal(a.Data, b.Data)
	}) {
		t.Errorf("read %+v, wrote %+v", got.Files, want.Files)
	}
	if got.File("none") != nil || string(got.File("ssh/id")) != "secret" {
		t.Error("files are not found by name")
	}
}

// No export that was changed or cut anywhere is taken for one.
func TestDamage(t *testing.T) {
	text := sealed(t, archive())
	for i := range text {
		flipped := slices.Clone(text)
		flipped[i] ^= 0x10
		if a, err := Read(bytes.NewReader(flipped), phrase); err == nil {
			t.Fatalf("byte %d of %d was changed: read %+v", i, len(text), a.About)
		}
		if a, err := Read(bytes.NewReader(text[:i]), phrase); err == nil {
			t.Fatalf("cut at byte %d of %d: read %+v", i, len(text), a.About)
		}
	}
	if _, err := Read(bytes.NewReader(append(text, 'x')), phrase); err == nil {
		t.Error("with a byte more it was read")
	}
}

func TestRefusals(t *testing.T) {
	text := sealed(t, archive())
	if _, err := Read(bytes.NewReader(text), "another passphrase"); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := Read(bytes.NewReader(text[:len(text)-20]), phrase); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("cut short: %v", err)
	}
	if _, err := Read(strings.NewReader("revision: 7\n"), phrase); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("another file: %v", err)
	}
	if err := Write(io.Discard, archive(), "short", testsWork); fault.CodeOf(err) != fault.Refused {
		t.Errorf("a short passphrase: %v", err)
	}
}

// Whoever knows the passphrase can still place nothing outside the folder.
func TestHostileArchives(t *testing.T) {
	many := make([]tar.Header, maxFiles+1)
	for i := range many {
		many[i] = tar.Header{Name: "f", Typeflag: tar.TypeReg}
	}
	for name, entries := range map[string][]tar.Header{
		"a path upwards":      {{Name: "../x", Typeflag: tar.TypeReg}},
		"an absolute path":    {{Name: "/etc/x", Typeflag: tar.TypeReg}},
		"a path that returns": {{Name: "a/../../x", Typeflag: tar.TypeReg}},
		"a link":              {{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"a folder":            {{Name: "x/", Typeflag: tar.TypeDir}},
		"nothing":             {},
		"no description":      {{Name: "cluster.yaml", Typeflag: tar.TypeReg}},
		"too many files":      many,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			to, err := age.NewScryptRecipient(phrase)
			if err != nil {
				t.Fatal(err)
			}
			to.SetWorkFactor(testsWork)
			w, err := age.Encrypt(&out, to)
			if err != nil {
				t.Fatal(err)
			}
			tw := tar.NewWriter(w)
			for _, h := range entries {
				if err := tw.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := tw.Close(); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if a, err := Read(&out, phrase); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("read %+v, %v", a, err)
			}
		})
	}
}

// FuzzFiles reads any archive, as it is after decryption: each file in it is below the folder.
func FuzzFiles(f *testing.F) {
	var whole bytes.Buffer
	w := tar.NewWriter(&whole)
	for name, text := range map[string]string{aboutFile: `{"kind":"` + aboutKind + `","later":1}`, "cluster.yaml": "revision: 7\n", "ssh/id": "secret"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:700])
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readFiles(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, file := range a.Files {
			if !filepath.IsLocal(file.Name) || file.Mode > 0o777 {
				t.Errorf("taken is %q with mode %o", file.Name, file.Mode)
			}
		}
	})
}
