package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "mxcluster"

// file is one source file. It is parsed, not compiled, so that those for other
// systems count as well.
type file struct {
	name    string // path below the module's root
	pkg     string // its folder
	test    bool
	imports []string
	tree    *ast.File
}

// load parses the whole module.
func load(t *testing.T) []*file {
	t.Helper()
	root := filepath.Join("..", "..")
	if b, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil || !strings.HasPrefix(string(b), "module "+module+"\n") {
		t.Fatalf("no module %s in %s: %v", module, root, err)
	}
	var files []*file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		source, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		files = append(files, parse(t, filepath.ToSlash(rel), string(source)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parse(t *testing.T, name, source string) *file {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), tree: tree}
	for _, spec := range tree.Imports {
		f.imports = append(f.imports, unquote(spec))
	}
	return f
}

func unquote(spec *ast.ImportSpec) string {
	s, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
	return s
}

// calls returns the functions of other packages that the file calls or passes
// on, such as os.Exit, by the last part of the real import path.
func (f *file) calls() []string {
	names := make(map[string]string)
	for _, spec := range f.tree.Imports {
		base := path.Base(unquote(spec))
		name := base
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = base
	}
	var calls []string
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil && names[x.Name] != "" {
				calls = append(calls, names[x.Name]+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return calls
}

// starts tells whether the file starts a goroutine.
func (f *file) starts() bool {
	found := false
	ast.Inspect(f.tree, func(n ast.Node) bool {
		_, ok := n.(*ast.GoStmt)
		found = found || ok
		return !found
	})
	return found
}

func (f *file) hasInit() bool {
	return slices.ContainsFunc(f.tree.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && fn.Name.Name == "init"
	})
}

// funcs returns the names of the file's functions, without methods.
func (f *file) funcs() (names []string) {
	for _, d := range f.tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

// declared returns the names of what the file declares for its package: methods as
// Type.Method, and fields of structs as Type.Field.
func (f *file) declared() (names []string) {
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = typeName(d.Recv.List[0].Type) + "." + name
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, specified(spec)...)
			}
		}
	}
	return names
}

// specified returns the names of one type with its fields, or of constants or variables.
func specified(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range spec.Names {
			names = append(names, id.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			break
		}
		for _, field := range st.Fields.List {
			for _, id := range field.Names {
				names = append(names, spec.Name.Name+"."+id.Name)
			}
		}
	}
	return names
}

// typeName is the name of a receiver's type.
func typeName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.IndexExpr:
		return typeName(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// packageVars returns the names of the variables of a package.
func packageVars(files []*file, pkg string) map[string]bool {
	vars := make(map[string]bool)
	for _, f := range files {
		if f.pkg != pkg {
			continue
		}
		for _, d := range f.tree.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						vars[name.Name] = name.Name != "_"
					}
				}
			}
		}
	}
	return vars
}

// assigned returns the package's variables that the file assigns to, in part
// or as a whole, or takes the address of.
func (f *file) assigned(vars map[string]bool) []string {
	var names []string
	note := func(e ast.Expr) {
		if id := rootOf(e); id != nil && vars[id.Name] && f.isPackageLevel(id) {
			names = append(names, id.Name)
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					note(e)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				note(n.X)
			}
		}
		return true
	})
	return names
}

// rootOf returns the variable that an expression such as a.b[i] is a part of.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// isPackageLevel tells a package's variable from a local one of the same name:
// the parser resolves what is declared in the file itself.
func (f *file) isPackageLevel(id *ast.Ident) bool {
	return id.Obj == nil || f.tree.Scope.Lookup(id.Name) == id.Obj
}
