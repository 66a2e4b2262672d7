package layers

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// buildTags are those that the Makefile and the release use.
const buildTags = "grpcnotrace"

// licenceTexts tell a licence by words that no other one has; the first that fits counts.
var licenceTexts = []struct {
	name string
	text *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License\s+Version 2\.0`)},
	{"MPL-2.0", regexp.MustCompile(`Mozilla Public License,? (Version|version|v\.) ?2\.0`)},
	{"CC0-1.0", regexp.MustCompile(`CC0 1\.0 Universal|Creative Commons Legal Code`)},
	{"BSD-3-Clause", regexp.MustCompile(`(?s)Redistribution and use.*(Neither the names? of|names? of .* may not be used)`)},
	{"BSD-2-Clause", regexp.MustCompile(`Redistribution and use`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge`)},
	{"ISC", regexp.MustCompile(`(?i)Permission to use, copy, modify, and(/or)? distribute`)},
}

// licenceOf names the licence that a module's folder ships; "": none that is known.
func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		plain := strings.Join(strings.Fields(string(text)), " ")
		for _, l := range licenceTexts {
			if l.text.MatchString(plain) {
				return l.name
			}
		}
	}
	return ""
}

// modulesOfTheBinary returns the folder of each module that a release contains.
func modulesOfTheBinary(t *testing.T) map[string]string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-tags", buildTags, "-f", "{{with .Module}}{{.Path}} {{.Dir}}{{end}}", module+"/cmd/mxcluster")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok && path != module {
			found[path] = dir
		}
	}
	return found
}

// Each module of the binary stands in docs/dependencies.md with its licence and what it is for.
func TestModulesOfTheBinary(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	modules := modulesOfTheBinary(t)
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || !strings.Contains(cells[0], "`") {
			continue
		}
		path := strings.Trim(cells[0], "| `")
		dir, ok := modules[path]
		if !ok {
			t.Errorf("%s stands in docs/dependencies.md, but not in the binary", path)
			continue
		}
		listed[path] = true
		if got := licenceOf(t, dir); got == "" || got != cells[1] {
			t.Errorf("%s: docs/dependencies.md says %s, its licence reads like %q", path, cells[1], got)
		}
	}
	for path, dir := range modules {
		if !listed[path] {
			t.Errorf("%s (%s) is in the binary, but not in docs/dependencies.md: say what it is for", path, licenceOf(t, dir))
		}
	}
	if len(modules) < 20 {
		t.Errorf("only %d modules were found: the list is not what is built", len(modules))
	}
}

// What is built by hand and what is released are built with the same tags.
func TestBuildTags(t *testing.T) {
	for _, name := range []string{"Makefile", "goreleaser.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \n[],", r) }), buildTags) {
			t.Errorf("%s does not build with the tag %s", name, buildTags)
		}
	}
}
