package layers

import (
	"os"
	"path/filepath"
	"regexp"
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
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		found := named.FindAllStringSubmatch(string(text), -1)
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
