// Package layers tests that the packages of the module keep to their layers.
// The rules and their reasons are in rules_test.go; a new package gets its row
// there before anything imports it.
package layers

import (
	"path"
	"slices"
	"strings"
	"testing"
)

func TestLayers(t *testing.T) {
	files := load(t)
	each := func(check func(*file) []string) func(*testing.T) {
		return func(t *testing.T) {
			for _, f := range files {
				for _, fault := range check(f) {
					t.Errorf("%s %s", f.name, fault)
				}
			}
		}
	}
	t.Run("every package has its place", each(checkPlace))
	t.Run("arrows run one way", each(program(checkArrows)))
	t.Run("imports and calls that are kept to some", each(program(checkBans)))
	t.Run("the program carries no test code", each(program(checkTestCode)))
	t.Run("pure packages only compute", each(program(checkPure)))
	t.Run("no hidden state", each(func(f *file) []string { return checkState(f, packageVars(files, f.pkg)) }))
	t.Run("tests do not sleep", each(checkSleep))
}

// program leaves the tests out of a check.
func program(check func(*file) []string) func(*file) []string {
	return func(f *file) []string {
		if f.test {
			return nil
		}
		return check(f)
	}
}

func checkPlace(f *file) []string {
	if slices.ContainsFunc(arrows, func(r rule) bool { return r.pkg == f.pkg }) {
		return nil
	}
	return []string{"is in package " + f.pkg + ", which has no row in arrows: say what it may import, and why"}
}

func checkSleep(f *file) []string {
	if f.test && slices.Contains(f.calls(), "time.Sleep") {
		return []string{"calls time.Sleep: wait for what is to happen, with a deadline"}
	}
	return nil
}

func checkArrows(f *file) []string {
	i := slices.IndexFunc(arrows, func(r rule) bool { return r.pkg == f.pkg })
	if i < 0 {
		return nil // told by checkPlace
	}
	var faults []string
	for _, imported := range f.imports {
		own, ok := strings.CutPrefix(imported, module+"/")
		if ok && !slices.Contains(arrows[i].imports, own) && !slices.Contains(arrows[i].imports, "...") {
			faults = append(faults, "imports "+own+": "+arrows[i].because)
		}
	}
	return faults
}

func checkBans(f *file) []string {
	var faults []string
	for _, b := range bannedImports {
		for _, imported := range f.imports {
			if covers(b.what, imported) && !slices.Contains(b.only, f.pkg) {
				faults = append(faults, "imports "+imported+": "+b.because)
			}
		}
	}
	calls := f.calls()
	for _, b := range bannedCalls {
		if slices.Contains(calls, b.what) && !slices.Contains(b.only, f.pkg) {
			faults = append(faults, "calls "+b.what+": "+b.because)
		}
	}
	for _, call := range calls {
		if slices.Contains(socketCalls, call) && !slices.Contains(opensSockets, f.pkg) {
			faults = append(faults, "uses "+call+": who opens sockets is known, so that it is known what can hang")
		}
	}
	return faults
}

func checkTestCode(f *file) []string {
	var faults []string
	for _, imported := range f.imports {
		if own, ok := strings.CutPrefix(imported, module+"/"); ok && forTests.MatchString(own) && !forTests.MatchString(f.pkg) {
			faults = append(faults, "imports "+own+": it is for tests")
		}
	}
	return faults
}

func checkPure(f *file) []string {
	if !slices.Contains(pure, f.pkg) {
		return nil
	}
	const because = ": a decision must depend on nothing but what is given"
	var faults []string
	for _, imported := range f.imports {
		thirdParty := strings.Contains(strings.Split(imported, "/")[0], ".")
		if thirdParty || slices.Contains(impureImports, imported) {
			faults = append(faults, "imports "+imported+because)
		}
	}
	for _, call := range f.calls() {
		if slices.Contains(clockCalls, call) {
			faults = append(faults, "calls "+call+because)
		}
	}
	if f.starts() {
		faults = append(faults, "starts a goroutine"+because)
	}
	return faults
}

func checkState(f *file, vars map[string]bool) []string {
	var faults []string
	if f.hasInit() {
		faults = append(faults, "has an init function: what it does, main should be seen to do")
	}
	for _, name := range f.assigned(vars) {
		faults = append(faults, "changes the package's variable "+name+": pass it in, so that two instances can live in one process")
	}
	return faults
}

// covers tells whether a pattern names an import path.
func covers(pattern, imported string) bool {
	tree, below := strings.CutSuffix(pattern, "/...")
	return imported == tree || (below && strings.HasPrefix(imported, tree+"/"))
}

// TestChecksFindWhatTheyLookFor keeps the tests above from passing blindly.
func TestChecksFindWhatTheyLookFor(t *testing.T) {
	tests := []struct {
		name, pkg, source, want string
		check                   func(*file) []string
	}{
		{"upward import", "clusterconf", `import _ "mxcluster/commands"`, "imports commands: the document", checkArrows},
		{"network in the document", "clusterconf", `import _ "net"`, "imports net: addresses as values", checkBans},
		{"tree of a library", "commands", `import _ "github.com/vishvananda/netlink/nl"`, "imports github.com/vishvananda/netlink/nl", checkBans},
		{"exit in a command", "commands", `import "os"; func f() { os.Exit(1) }`, "calls os.Exit", checkBans},
		{"exit under another name", "commands", `import sys "os"; func f() { g(sys.Exit) }`, "calls os.Exit", checkBans},
		{"a socket in a command", "commands", `import "net"; func f() { net.Dial("tcp", "") }`, "uses net.Dial", checkBans},
		{"a clock in the brain", "internal/failover", `import "time"; func f() { _ = time.Now() }`, "calls time.Now", checkPure},
		{"a library in the brain", "internal/failover", `import _ "golang.org/x/sync/errgroup"`, "imports golang.org", checkPure},
		{"a goroutine in the brain", "internal/failover", `func f() { go f() }`, "starts a goroutine", checkPure},
		{"a fake in the program", "cmd/mxcluster", `import _ "mxcluster/internal/services/servicestest"`, "it is for tests", checkTestCode},
		{"a package without a row", "internal/new", ``, "no row in arrows", checkPlace},
		{"init", "netops", `func init() {}`, "has an init function", stateOf},
		{"a changed variable", "netops", `var n int; func f() { n++ }`, "variable n", stateOf},
		{"a changed map", "netops", `var m = map[int]int{}; func f() { m[1] = 2 }`, "variable m", stateOf},
		{"a changed field", "netops", `var s struct{ a int }; func f() { s.a = 2 }`, "variable s", stateOf},
		{"a variable lent out", "netops", `var n int; func f() { g(&n) }`, "variable n", stateOf},
		{"a local of the same name", "netops", `var n int; func f() { n := 1; n++ }`, "", stateOf},
		{"a method called init", "netops", `type t struct{}; func (t) init() {}`, "", stateOf},
		{"good", "netops", `import ("net"; "mxcluster/internal/fault")`, "", func(f *file) []string { return append(checkArrows(f), checkBans(f)...) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, path.Join(tt.pkg, "x.go"), "package x; "+tt.source)
			got := strings.Join(tt.check(f), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSleepingTestsAreFound(t *testing.T) {
	f := parse(t, "netops/x_test.go", `package x; import "time"; func f() { time.Sleep(1) }`)
	if len(checkSleep(f)) != 1 {
		t.Error("a test that sleeps was not found")
	}
}

func stateOf(f *file) []string { return checkState(f, packageVars([]*file{f}, f.pkg)) }
