package alarmpages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every alarm has a page that says what it means, how to look and what to type, and
// there is no page of another one.
func TestEveryAlarmHasAPage(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../internal/alarms/alarms.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Name" {
				name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
		}
		return true
	})
	slices.Sort(names)
	if len(names) < 30 || !slices.Equal(names, Names()) {
		t.Errorf("alarms %q, pages %q", names, Names())
	}
	for _, name := range names {
		page := Page(name)
		last := -1
		for _, head := range []string{"# " + name + "\n", "\nSeverity: ", "\n## What it means\n", "\n## How to look\n* ", "\n## What to type\n* "} {
			i := strings.Index(page, head)
			if i <= last && last >= 0 || i < 0 {
				t.Errorf("%s: no %q in its place", name, head)
			}
			last = i
		}
	}
}
