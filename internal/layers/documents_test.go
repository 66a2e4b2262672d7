package layers

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
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

// Every setting is in the page of settings, with its default.
func TestPageOfSettings(t *testing.T) {
	page, count := document(t, "reference/settings.md"), 0
	for _, f := range load(t) {
		if f.pkg != "internal/settings" || f.test {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			list, ok := n.(*ast.CompositeLit)
			if !ok || !isSliceOf(list.Type, "key") {
				return true
			}
			for _, e := range list.Elts {
				name, byDefault := setting(t, e)
				if count++; !strings.Contains(page, "\n| `"+name+"` | "+byDefault) {
					t.Errorf("docs/reference/settings.md does not have %s with its default %q", name, byDefault)
				}
			}
			return true
		})
	}
	if count < 20 {
		t.Errorf("%d settings were found", count)
	}
}

// isSliceOf reports whether a type is []name.
func isSliceOf(e ast.Expr, name string) bool {
	slice, ok := e.(*ast.ArrayType)
	if !ok {
		return false
	}
	elem, ok := slice.Elt.(*ast.Ident)
	return ok && elem.Name == name
}

// setting returns name and default of an entry in the table of settings, the default as the page writes it.
func setting(t *testing.T, e ast.Expr) (name, byDefault string) {
	t.Helper()
	var values []string
	for _, x := range e.(*ast.CompositeLit).Elts {
		if pair, ok := x.(*ast.KeyValueExpr); ok {
			x = pair.Value
		}
		if id, ok := x.(*ast.Ident); ok && id.Name == "endpointsKey" {
			values = append(values, "arbiter.etcd.endpoints")
		} else if lit, ok := x.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, text)
		}
	}
	if len(values) > 1 && values[1] != "" && len(e.(*ast.CompositeLit).Elts) > 1 {
		byDefault = "`" + values[1] + "` |"
	}
	return values[0], byDefault
}

// Every key of the document is in its page, and every exit code in the page of those.
func TestPagesOfKeysAndCodes(t *testing.T) {
	page, keys := document(t, "reference/document.md"), 0
	codes, count := document(t, "reference/exit-codes.md"), 0
	tag := regexp.MustCompile(`yaml:"([A-Za-z]+)`)
	for _, f := range load(t) {
		if f.test {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				if f.pkg == "clusterconf" && n.Tag != nil {
					if m := tag.FindStringSubmatch(n.Tag.Value); m != nil {
						if keys++; !strings.Contains(page, "`"+m[1]+"`") {
							t.Errorf("docs/reference/document.md does not have %s", m[1])
						}
					}
				}
			case *ast.ValueSpec:
				if kind, ok := n.Type.(*ast.Ident); ok && f.pkg == "internal/fault" && kind.Name == "Code" {
					code := n.Values[0].(*ast.BasicLit).Value
					if count++; !strings.Contains(codes, "\n| "+code+" | ") {
						t.Errorf("docs/reference/exit-codes.md does not have %s", code)
					}
				}
			}
			return true
		})
	}
	if keys < 30 || count < 10 {
		t.Errorf("%d keys and %d codes were found", keys, count)
	}
}
