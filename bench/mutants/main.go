// Mutants tells how well the tests of a package hold it: it changes one comparison or
// calculation at a time, and says which changes no test notices.
//
//	go run ./bench/mutants [-run REGEXP] [-flags FLAGS] PACKAGE [FILE...]
//
// All mutants are built into one test program, which is told by its environment which
// one to be, so that a package takes as long as its tests take for each mutant and no
// compiler besides. A mutant is killed if a test fails, panics, or takes more than ten
// times as long. One that the tests never come to is not reached.
//
// The changes are those of go-gremlins: a comparison is turned round (== and !=, < and
// >=), or its bound moved (< and <=), and one arithmetic operator becomes another.
package main

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/go/packages"
)

var (
	turned = map[token.Token]token.Token{
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
	}
	moved      = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}
	arithmetic = map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL}
)

func main() {
	run := flag.String("run", "", "tests to run, by their names; all without")
	flags := flag.String("flags", "", "further flags of the test program, such as those of a library that draws random cases")
	flag.Parse()
	if err := mutate(context.Background(), append([]string{"-test.failfast", "-test.run=" + *run}, strings.Fields(*flags)...), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func mutate(ctx context.Context, flags, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("name a package, such as ./internal/failover, and files of it where not all are meant")
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir); err != nil {
		return fmt.Errorf("copying the tree: %w", err)
	}
	pkg := filepath.Join(dir, args[0])
	p, err := load(ctx, dir, pkg)
	if err != nil {
		return err
	}
	m := &mutator{pkg: p}
	for _, file := range p.Syntax {
		if name := filepath.Base(p.Fset.Position(file.Pos()).Filename); len(args) == 1 || slices.Contains(args[1:], name) {
			if err := m.rewrite(file); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(filepath.Join(pkg, "mutants_switch.go"), []byte("package "+p.Name+switchSource), 0o600); err != nil {
		return err
	}
	t := tests{program: filepath.Join(dir, "tests"), dir: pkg, flags: flags, reached: filepath.Join(dir, "reached")}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", t.program, ".")
	build.Dir = pkg
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the mutants: %w\n%s", err, out)
	}
	return t.report(ctx, m.mutants)
}

// copyTree copies the tree below this folder, without what git keeps.
func copyTree(dir string) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, path), 0o700)
		case !d.Type().IsRegular() || d.Name() == ".git":
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), data, info.Mode())
	})
}

func load(ctx context.Context, dir, pkg string) (*packages.Package, error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps
	all, err := packages.Load(&packages.Config{Context: ctx, Mode: mode, Dir: dir}, pkg)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", pkg, err)
	}
	if len(all) != 1 || len(all[0].Errors) > 0 {
		return nil, fmt.Errorf("%s is not one package that can be built", pkg)
	}
	return all[0], nil
}

// mutator writes all mutants of a package into its files.
type mutator struct {
	pkg     *packages.Package
	src     []byte
	targets map[ast.Node]bool
	mutants []string // what each one changes, and where; the first one has number 1
}

func (m *mutator) rewrite(file *ast.File) (err error) {
	name := m.pkg.Fset.Position(file.Pos()).Filename
	if m.src, err = os.ReadFile(name); err != nil {
		return err
	}
	m.targets = map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryExpr)
		if ok && m.pkg.TypesInfo.Types[b].Value == nil { // a constant has to stay one
			m.targets[b] = turned[b.Op] != 0 || arithmetic[b.Op] != 0 && m.isNumber(b)
		}
		return true
	})
	return os.WriteFile(name, []byte(m.text(file, 0, len(m.src))), 0o600)
}

func (m *mutator) isNumber(e ast.Expr) bool {
	t, ok := m.pkg.TypesInfo.TypeOf(e).Underlying().(*types.Basic)
	return ok && t.Info()&types.IsNumeric != 0
}

func (m *mutator) offset(p token.Pos) int { return m.pkg.Fset.Position(p).Offset }

// text is the source between two offsets with the mutants that lie in n.
func (m *mutator) text(n ast.Node, from, to int) string {
	var inner []*ast.BinaryExpr
	ast.Inspect(n, func(x ast.Node) bool {
		b, ok := x.(*ast.BinaryExpr)
		if ok && m.targets[b] {
			inner = append(inner, b)
			return false
		}
		return true
	})
	slices.SortFunc(inner, func(a, b *ast.BinaryExpr) int { return int(a.Pos() - b.Pos()) })
	var out strings.Builder
	for _, b := range inner {
		out.Write(m.src[from:m.offset(b.Pos())])
		out.WriteString(m.binary(b))
		from = m.offset(b.End())
	}
	out.Write(m.src[from:to])
	return out.String()
}

// binary is an expression that is what it was, or one of its mutants.
func (m *mutator) binary(b *ast.BinaryExpr) string {
	x := m.text(b.X, m.offset(b.X.Pos()), m.offset(b.X.End()))
	y := m.text(b.Y, m.offset(b.Y.Pos()), m.offset(b.Y.End()))
	result, ops := "bool", []token.Token{turned[b.Op], moved[b.Op]}
	if turned[b.Op] == 0 {
		result, ops = types.TypeString(m.pkg.TypesInfo.TypeOf(b), func(p *types.Package) string {
			if p == m.pkg.Types {
				return ""
			}
			return p.Name()
		}), []token.Token{arithmetic[b.Op]}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "func() %s { switch { ", result)
	for _, op := range ops {
		if op != 0 {
			at := m.pkg.Fset.Position(b.OpPos)
			m.mutants = append(m.mutants, fmt.Sprintf("%s:%d:%d: %s became %s", filepath.Base(at.Filename), at.Line, at.Column, b.Op, op))
			fmt.Fprintf(&out, "case mutantIs(%d): return %s %s %s; ", len(m.mutants), x, op, y)
		}
	}
	fmt.Fprintf(&out, "}; return %s %s %s }()", x, b.Op, y)
	return out.String()
}

// switchSource decides which mutant the test program is: MUTANT has its number. Without
// one it writes the numbers of those that are reached into the file MUTANTS_REACHED.
const switchSource = `

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

var (
	mutant, _      = strconv.Atoi(os.Getenv("MUTANT"))
	mutantsFile, _ = os.OpenFile(os.Getenv("MUTANTS_REACHED"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	mutantsReached sync.Map
)

func mutantIs(number int) bool {
	if mutantsFile != nil {
		if _, before := mutantsReached.LoadOrStore(number, true); !before {
			fmt.Fprintln(mutantsFile, number)
		}
	}
	return mutant == number
}
`

// tests is the test program with the mutants in it.
type tests struct {
	program, dir, reached string
	flags                 []string
}

// pass runs the tests with a mutant; 0: with none.
func (t tests) pass(ctx context.Context, mutant int, limit time.Duration) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.program, t.flags...)
	cmd.Dir, cmd.WaitDelay = t.dir, time.Second
	cmd.Env = append(os.Environ(), fmt.Sprint("MUTANT=", mutant))
	if mutant == 0 {
		cmd.Env = append(cmd.Env, "MUTANTS_REACHED="+t.reached)
	}
	out, err := cmd.CombinedOutput()
	return err == nil, string(out)
}

// report tries each mutant and prints those that live.
func (t tests) report(ctx context.Context, mutants []string) error {
	start := time.Now()
	if ok, out := t.pass(ctx, 0, time.Hour); !ok {
		return fmt.Errorf("the tests fail without a mutant:\n%s", out)
	}
	limit := 10*time.Since(start) + 10*time.Second
	numbers, err := os.ReadFile(t.reached)
	if err != nil {
		return fmt.Errorf("the tests reach nothing: %w", err)
	}
	reached := map[string]bool{}
	for _, n := range strings.Fields(string(numbers)) {
		reached[n] = true
	}
	killed := 0
	for i, what := range mutants {
		if !reached[fmt.Sprint(i+1)] {
			fmt.Println("not reached", what)
			continue
		}
		if ok, _ := t.pass(ctx, i+1, limit); ok {
			fmt.Println("lives      ", what)
		} else {
			killed++
		}
	}
	fmt.Printf("%d mutants, %d reached, %d killed\n", len(mutants), len(reached), killed)
	return nil
}
