package clusterconf

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"mxcluster/internal/compat"
	"mxcluster/internal/fault"
)

// plainJSON is a document as any decoder of YAML sees it.
func plainJSON(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Documents that earlier versions wrote are read as they were meant, byte for byte under the same
// hash, so that who knows them by that goes on with them.
func TestDocumentsOfEarlierVersions(t *testing.T) {
	byRelease := map[string][]*Encoded{}
	compat.Each(t, compat.Recorded(t, "documents"), func(t *testing.T, in compat.Input) {
		e, err := ParseEncoded(in.Name, in.Content)
		if err != nil {
			t.Fatal(err)
		}
		byRelease[in.Release] = append(byRelease[in.Release], e)
		if lost := compat.Lost(t, plainJSON(t, in.Content), plainJSON(t, e.Bytes())); lost != nil {
			t.Errorf("lost are %q", lost)
		}
		if number := strings.TrimLeft(strings.TrimSuffix(path.Base(in.Name), ".yaml"), "0"); regexp.MustCompile(`^\d+$`).MatchString(number) && number != jsonNumber(e.Revision) {
			t.Errorf("it has revision %d", e.Revision)
		}
	})
	for release, all := range byRelease {
		slices.SortStableFunc(all, func(a, b *Encoded) int { return a.Age().Compare(b.Age()) })
		all = slices.CompactFunc(all, func(a, b *Encoded) bool { return a.Revision == b.Revision })
		for i, e := range all[1:] {
			if got := Relate(e, all[i]); e.Revision == all[i].Revision+1 && got != Follows {
				t.Errorf("%s: revision %d and the one before: %v, want that it follows", release, e.Revision, got)
			}
		}
		last := all[len(all)-1]
		c := last.ClusterOfLIM(1)
		if len(last.Servers) != 3 || c == nil || c.Standby != "sb1" || c.Member(1).Priority != 7 || c.Member(1).Alias.String() != "192.0.2.11/24" || time.Duration(c.FailoverAfter) != 400*time.Millisecond {
			t.Errorf("%s: the last one has the cluster %+v", release, c)
		}
	}
}

func jsonNumber(n uint64) string {
	b, _ := json.Marshal(n) // a number always has a form
	return string(b)
}

// A document of a later version is not half understood: the error has file, line and what is not
// known. What may be ignored is, and is kept.
func TestDocumentsOfTheFuture(t *testing.T) {
	want := map[string]string{
		"unknown-key.yaml":       `unknown-key.yaml:\d+:\d+: .*standbyPool`,
		"unknown-service.yaml":   `unknown-service.yaml:\d+:\d+: .*container:`,
		"higher-level.yaml":      `higher-level.yaml:\d+:\d+: .*level 9`,
		"unknown-choice.yaml":    `unknown-choice.yaml:\d+:\d+: .*predictive`,
		"other-api-version.yaml": `other-api-version.yaml:\d+:\d+: .*mxcluster/v2`,
		"keys-of-others.yaml":    "",
		"several-reasons.yaml":   `several-reasons.yaml:\d+:\d+: `,
	}
	compat.Each(t, compat.OfTheFuture(t, "documents"), func(t *testing.T, in compat.Input) {
		pattern, known := want[in.Name]
		delete(want, in.Name)
		// As it comes from another server, and as it lies on the disk.
		e, err := ParseEncoded(in.Name, in.Content)
		store := &Store{Path: filepath.Join(t.TempDir(), in.Name), Now: time.Now}
		if err := os.WriteFile(store.Path, in.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, onDisk := store.Read()
		switch {
		case !known:
			t.Error("nobody says what is right")
		case pattern == "" && (err != nil || onDisk != nil):
			t.Errorf("refused: %v, %v", err, onDisk)
		case pattern == "":
			if lost := compat.Lost(t, plainJSON(t, in.Content), plainJSON(t, e.Bytes())); lost != nil {
				t.Errorf("lost are %q", lost)
			}
		default:
			for _, err := range []error{err, onDisk} {
				if err == nil || fault.CodeOf(err) != fault.Invalid || !regexp.MustCompile(pattern).MatchString(err.Error()) {
					t.Errorf("error %v with code %d, want %d and %s", err, fault.CodeOf(err), fault.Invalid, pattern)
				}
			}
		}
	})
	for name := range want {
		t.Errorf("there is no input %s", name)
	}
}

// addDocuments gives a target the documents of other versions.
func addDocuments(f *testing.F) {
	f.Helper()
	for _, in := range append(compat.Recorded(f, "documents"), compat.OfTheFuture(f, "documents")...) {
		f.Add(in.Content)
	}
}
