package layers

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commonLicences are those whose text stands once, beside the packages' copyright file, and not
// in it for each module.
var commonLicences = []string{"Apache-2.0", "CC0-1.0", "MPL-2.0"}

// The packages say whose work they contain, under which licence: UPDATE_GOLDEN=1, or `make docs`,
// writes it.
func TestCopyrightOfThePackages(t *testing.T) {
	modules := modulesOfTheBinary(t)
	want := []byte("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: mxcluster\n" +
		"Comment: The program contains the modules named below, each with its own copyright and licence.\n\n" +
		"Files: *\nCopyright: the mxcluster authors\nLicense: Apache-2.0\n")
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		want = append(want, copyrightOf(t, path, modules[path])...)
	}
	for _, name := range commonLicences {
		want = fmt.Appendf(want, "\nLicense: %s\n The text is in /usr/share/licenses/mxcluster/%s.txt; on Debian systems in\n /usr/share/common-licenses/%s.\n", name, name, name)
	}
	file := filepath.Join("..", "..", "packaging", "copyright")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("packaging/copyright is not what the modules say (%v): run 'make docs'", err)
	}
}

// copyrightOf returns the paragraph of a module: who has its copyright, and its licence in full
// unless that is a common one.
func copyrightOf(t *testing.T, path, dir string) string {
	t.Helper()
	text := shipped(dir, "LICENSE", "LICENSE.txt", "LICENSE.md")
	notice := shipped(dir, "NOTICE", "NOTICE.txt")
	var holders []string
	for _, m := range regexp.MustCompile(`(?m)^[ \t/*#]*(Copyright (?:\(c\)|©|\d)[^\n]*)$`).FindAllStringSubmatch(text+"\n"+notice, -1) {
		if !slices.Contains(holders, m[1]) {
			holders = append(holders, strings.TrimSpace(m[1]))
		}
	}
	if len(holders) == 0 {
		holders = []string{"the authors of " + path}
	}
	licence := licenceOf(t, dir)
	var out strings.Builder
	fmt.Fprintf(&out, "\nFiles: %s/*\nCopyright: %s\nLicense: %s\n", path, strings.Join(holders, "\n           "), licence)
	if !slices.Contains(commonLicences, licence) {
		out.WriteString(indented(text))
	}
	if notice != "" {
		out.WriteString("Comment: Its notice:\n" + indented(notice))
	}
	return out.String()
}

// shipped returns the first of some files that a folder has; "": none.
func shipped(dir string, names ...string) string {
	for _, name := range names {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return string(text)
		}
	}
	return ""
}

// indented writes a text as the continued lines of a field.
func indented(text string) string {
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimRight(line, " \t\r"); line == "" {
			line = "."
		}
		out.WriteString(" " + line + "\n")
	}
	return out.String()
}
