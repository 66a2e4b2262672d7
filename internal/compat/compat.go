// Package compat has files and messages that versions of this program wrote, for tests: every
// later version must read them. The README in testdata says what they are and how they are made.
package compat

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
)

//go:embed all:testdata
var files embed.FS

// Future is the folder of what no version has written yet: what a later one may write.
const Future = "future"

// Input is one file.
type Input struct {
	Release string // the version that wrote it; [Future]: a later one
	Name    string // below the folder of its kind
	Content []byte
}

// Recorded returns what each version wrote of one kind, such as "documents".
func Recorded(t testing.TB, kind string) []Input {
	t.Helper()
	return inputs(t, kind, func(release string) bool { return release != Future })
}

// OfTheFuture returns what a later version may write of one kind.
func OfTheFuture(t testing.TB, kind string) []Input {
	t.Helper()
	return inputs(t, kind, func(release string) bool { return release == Future })
}

func inputs(t testing.TB, kind string, wanted func(release string) bool) (all []Input) {
	t.Helper()
	releases, err := files.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range releases {
		if r.IsDir() && wanted(r.Name()) {
			all = append(all, below(t, r.Name(), kind)...)
		}
	}
	if len(all) == 0 {
		t.Fatalf("nothing is recorded of %s", kind)
	}
	return all
}

// below returns the files of one version; none where it had nothing of that kind.
func below(t testing.TB, release, kind string) (all []Input) {
	t.Helper()
	root := path.Join("testdata", release, kind)
	if _, err := fs.Stat(files, root); err != nil {
		return nil
	}
	err := fs.WalkDir(files, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		all = append(all, Input{Release: release, Name: strings.TrimPrefix(name, root+"/"), Content: b})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each runs a test for each input, under its name.
func Each(t *testing.T, all []Input, test func(t *testing.T, in Input)) {
	t.Helper()
	for _, in := range all {
		t.Run(in.Release+"/"+in.Name, func(t *testing.T) { test(t, in) })
	}
}

// Lost lists what of some JSON is not in another one, by its place: values that were read are to
// be written again. Null, false, zero and what is empty may be left out.
func Lost(t testing.TB, was, is []byte) []string {
	t.Helper()
	return lost(nil, "", decode(t, was), decode(t, is))
}

func decode(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

func lost(found []string, at string, was, is any) []string {
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for key, value := range was {
			found = lost(found, at+"."+key, value, now[key])
		}
	case []any:
		now, _ := is.([]any)
		for i, value := range was {
			var v any
			if i < len(now) {
				v = now[i]
			}
			found = lost(found, fmt.Sprintf("%s[%d]", at, i), value, v)
		}
	default:
		if was != nil && was != false && was != "" && was != json.Number("0") && was != is {
			found = append(found, fmt.Sprintf("%s: %v, not %v", at, was, is))
		}
	}
	return found
}
