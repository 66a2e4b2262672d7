package layers

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests that documents name as proofs exist.
func TestTestsThatDocumentsName(t *testing.T) {
	known := map[string]bool{}
	for _, f := range load(t) {
		for _, name := range f.funcs() {
			known[name] = true
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)")
	for _, name := range []string{"accidents.md", "threat-model.md"} {
		found := named.FindAllStringSubmatch(document(t, name), -1)
		if len(found) == 0 {
			t.Errorf("docs/%s names no test", name)
		}
		for _, match := range found {
			if !known[match[1]] {
				t.Errorf("docs/%s names %s, which does not exist", name, match[1])
			}
		}
	}
}

// What documents name as file.go:function exists, and so do the files. Files without a
// folder are in the one given, and others may be in its internal one.
func TestFunctionsThatDocumentsName(t *testing.T) {
	known := map[string]bool{}
	for _, f := range load(t) {
		known[f.name] = true
		for _, name := range f.declared() {
			known[f.name+":"+name] = true
		}
	}
	named := regexp.MustCompile(`[a-z0-9_/]+\.go(:[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)?`)
	for name, folder := range map[string]string{"design.md": "", "sync-protocol.md": "xdata"} {
		found := named.FindAllString(document(t, name), -1)
		if len(found) == 0 {
			t.Errorf("docs/%s names no file", name)
		}
		for _, what := range found {
			full := what
			if !strings.Contains(what, "/") {
				full = path.Join(folder, what)
			}
			if !known[full] && !known[path.Join(folder, "internal", what)] {
				t.Errorf("docs/%s names %s, which does not exist", name, what)
			}
		}
	}
}

// What the glossary names as package.Name exists. Settings are written like that, too:
// the first word of none is a package.
func TestNamesOfTheGlossary(t *testing.T) {
	known, packages := map[string]bool{}, map[string]bool{}
	for _, f := range load(t) {
		packages[path.Base(f.pkg)] = true
		for _, name := range f.declared() {
			known[path.Base(f.pkg)+"."+name] = true
		}
	}
	named := regexp.MustCompile("`([a-z]+)(\\.[A-Za-z0-9]+){1,2}`")
	count := 0
	for _, match := range named.FindAllStringSubmatch(document(t, "glossary.md"), -1) {
		if !packages[match[1]] {
			continue
		}
		count++
		if name := strings.Trim(match[0], "`"); !known[name] {
			t.Errorf("docs/glossary.md names %s, which does not exist", name)
		}
	}
	if count == 0 {
		t.Error("docs/glossary.md names nothing of the code")
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
