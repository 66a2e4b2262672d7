package gendocs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the module's, where the derived files lie.
var root = filepath.Join("..", "..")

// TestFilesAreUpToDate compares the committed files with the commands;
// UPDATE_GOLDEN=1, or `make docs`, writes them instead.
func TestFilesAreUpToDate(t *testing.T) {
	files, err := Files(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, files)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		have, err := os.ReadFile(filepath.Join(root, name))
		switch {
		case err != nil:
			t.Errorf("%v; run 'make docs'", err)
		case !bytes.Equal(have, files[name]):
			t.Errorf("%s is not what the commands say: run 'make docs'", name)
		}
	}
	for _, name := range present(t) {
		if files[name] == nil {
			t.Errorf("%s belongs to nothing: run 'make docs'", name)
		}
	}
}

// write puts the files in their places, and removes those of commands that are gone.
func write(t *testing.T, files map[string][]byte) {
	t.Helper()
	for _, name := range present(t) {
		if files[name] == nil {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// present lists the files in the folders of derived files.
func present(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, dir := range []string{manDir, cliDir, completionDir} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

// What is committed must come out the same for everybody.
func TestFilesDependOnNothingElse(t *testing.T) {
	first, err := Files(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	t.Setenv("MXCLUSTER_CONFIG_DIR", t.TempDir())
	second, err := Files(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(first, second, bytes.Equal) {
		t.Error("two runs differ")
	}
	date := regexp.MustCompile(`\b(19|20)\d\d\b|0001`)
	for name, text := range first {
		head, _, _ := bytes.Cut(text, []byte(".SH NAME"))
		if strings.HasPrefix(name, manDir) && date.Match(head) {
			t.Errorf("%s has a date: %s", name, head)
		}
	}
}

// Every page has what a reader looks for, and pages name pages that there are.
func TestPages(t *testing.T) {
	files, err := Files(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)]+\.md)\)`)
	other := regexp.MustCompile(`\b((?:mxcluster|cluster)[-a-z.]*)\(([157])\)`)
	for name, text := range files {
		var wanted []string
		switch filepath.Ext(name) {
		case ".1":
			wanted = []string{".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXAMPLE", ".SH EXIT STATUS\n.TP\n\\fB0\\fP\ndone", ".SH SEE ALSO"}
		case ".md":
			if name == answersPage {
				wanted = []string{"\n## ClusterStatus\n\nBy `status`.\n", "\n| `clusters[].lims[].redundant` | true or false or null |", "\n| `error.hint` | string"}
				break
			}
			wanted = []string{"## mxcluster", "### Synopsis", "### Examples", "### Options", "### Exit status\n\n| code | meaning |\n|---|---|\n| 0 | done"}
			for _, m := range link.FindAllSubmatch(text, -1) {
				if target := cliDir + "/" + string(m[1]); files[target] == nil {
					t.Errorf("%s links to %s, which is not there", name, target)
				}
			}
		case ".5", ".7":
			wanted = []string{".TH ", "\n.SH NAME\n", ".SH SEE ALSO"}
			for _, m := range other.FindAllSubmatch(text, -1) {
				if target := manDir + "/" + string(m[1]) + "." + string(m[2]); files[target] == nil {
					t.Errorf("%s names %s, which is not there", name, target)
				}
			}
		case ".svg":
			wanted = []string{"prefers-color-scheme: dark", "<title>"}
		default:
			wanted = []string{"__complete"}
		}
		for _, w := range wanted {
			if !bytes.Contains(text, []byte(w)) {
				t.Errorf("%s lacks %q", name, w)
			}
		}
	}
	for _, name := range []string{"docs/man/mxcluster.1", "docs/man/mxcluster-add-lim.1", "docs/man/mxcluster-server-add.1",
		"docs/man/mxcluster.yaml.5", "docs/man/cluster.yaml.5", "docs/man/mxcluster.7",
		"docs/cli/mxcluster.md", "docs/cli/mxcluster_server_add.md", "completions/mxcluster.bash", "completions/_mxcluster", "completions/mxcluster.fish"} {
		if files[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestInsert(t *testing.T) {
	for _, tc := range []struct{ page, want string }{
		{"a\n## B\nc\n", "a\n-\n## B\nc\n"},
		{"a\n", "a\n-\n"},
	} {
		if got := string(insert(tc.page, "## B", "-\n")); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// TestDiagramsAreOfTheirDescriptions: each diagram names the description that it was drawn of, so
// that it is not forgotten; drawing needs graphviz, and comes out otherwise by another version of it.
func TestDiagramsAreOfTheirDescriptions(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(root, pictureDir, "*.dot"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("%q, %v", sources, err)
	}
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := os.ReadFile(strings.TrimSuffix(name, ".dot") + ".svg")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(picture, fmt.Appendf(nil, "sha256 of its description: %x ", sha256.Sum256(source))) {
			t.Errorf("%s was changed: run 'make pictures'", name)
		}
	}
}
