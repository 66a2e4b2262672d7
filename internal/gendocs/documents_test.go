package gendocs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mxcluster/commands"
)

// documents returns the text of all pages that people read, by their path below the
// module's root: those of the docs folder and those beside it.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	read := func(name string) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.ToSlash(name)] = string(text)
	}
	beside, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range beside {
		read(filepath.Base(name))
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(p) == ".md" {
			name, relErr := filepath.Rel(root, p)
			if relErr != nil {
				return relErr
			}
			read(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 100 {
		t.Fatalf("only %d documents were found", len(pages))
	}
	return pages
}

// Every command in a document is one that there is, with the flags and as many
// arguments as it takes.
func TestCommandsThatDocumentsName(t *testing.T) {
	tree := commands.New(commands.Env{})
	for name, text := range documents(t) {
		if name == "CHANGELOG.md" { // it tells of commands that there were
			continue
		}
		inText, inBlocks := commandsIn(text)
		for _, command := range inText {
			if fault := wrong(tree, command, true); fault != "" {
				t.Errorf("%s: `%s`: %s", name, command, fault)
			}
		}
		for _, command := range inBlocks {
			if fault := wrong(tree, command, false); fault != "" {
				t.Errorf("%s: in a block: %s: %s", name, command, fault)
			}
		}
	}
}

// commandsIn returns the commands of this program in a page: in code within the
// text, and those of blocks: at the start of a line, behind a pipe or on a server (srv1# …).
func commandsIn(text string) (inText, inBlocks []string) {
	inBlock := false
	span := regexp.MustCompile("`(mxcluster [^`]*)`")
	line := regexp.MustCompile(`(?:^|[|;&$(#] ?|-- )\s*(mxcluster [^|;&>]*)`)
	for _, l := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(l), "```"):
			inBlock = !inBlock
		case inBlock:
			for _, m := range line.FindAllStringSubmatch(l, -1) {
				inBlocks = append(inBlocks, strings.TrimSpace(m[1]))
			}
		default:
			for _, m := range span.FindAllStringSubmatch(l, -1) {
				command, _, _ := strings.Cut(m[1], " | ")
				inText = append(inText, command)
			}
		}
	}
	return inText, inBlocks
}

// wrong says what is wrong with a command line; "": nothing. In a text a command may be
// named alone, without its arguments.
func wrong(tree *cobra.Command, line string, inText bool) string {
	all := words(strings.TrimSuffix(line, "[flags]"))[1:]
	if len(all) > 0 && all[0] == "help" {
		all = append(all[1:], "--help")
	}
	c, rest, err := tree.Find(all)
	switch {
	case err != nil:
		return err.Error()
	case c == tree && len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
		return "there is no such command"
	}
	var args []string
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		if word == "--help" || word == "-h" {
			return ""
		}
		if word == "--" {
			args = append(args, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			args = append(args, word)
			continue
		}
		name, value, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
		flag := c.Flag(name)
		if !strings.HasPrefix(word, "--") {
			flag = c.Flags().ShorthandLookup(name[:1])
			if flag == nil {
				flag = c.InheritedFlags().ShorthandLookup(name[:1])
			}
		}
		switch {
		case flag == nil:
			return "there is no flag " + word
		case flag.NoOptDefVal == "" && !valued:
			if i++; i == len(rest) {
				return word + " lacks its value"
			}
			value, valued = rest[i], true
		}
		// What is in capitals stands for a value.
		if valued && value == strings.ToLower(value) {
			if err := flag.Value.Set(value); err != nil {
				return word + ": " + err.Error()
			}
		}
	}
	if c.Args == nil || len(args) == 0 && (c.HasSubCommands() || inText) {
		return ""
	}
	if err := c.Args(c, args); err != nil {
		return err.Error()
	}
	return ""
}

// words splits a command line as a shell does, up to a comment. What may be left out, in
// brackets, is taken as given.
func words(line string) []string {
	var out []string
	var quote rune
	word, started := "", false
	end := func() {
		if started {
			out = append(out, word)
		}
		word, started = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ':
			end()
		case r == '#' && !started:
			return out
		case r == '[' || r == ']':
		default:
			word, started = word+string(r), true
		}
	}
	end()
	return out
}

func TestCommandsInDocumentsAreFound(t *testing.T) {
	text := "Type `mxcluster status`, not `mxcluster`.\n```\nmxcluster list   # all\nssh srv1 cat k | mxcluster join 10.0.0.11 --key-file -\n  0.7s  srv1# mxcluster list c1\n```\n`mxcluster-agent.service`\n"
	want := []string{"mxcluster list   # all", "mxcluster join 10.0.0.11 --key-file -", "mxcluster list c1"}
	if inText, inBlocks := commandsIn(text); !slices.Equal(inText, []string{"mxcluster status"}) || !slices.Equal(inBlocks, want) {
		t.Errorf("found %q and %q, want %q", inText, inBlocks, want)
	}
	tree := commands.New(commands.Env{})
	for line, want := range map[string]string{
		"mxcluster list  # all clusters":                    "",
		"mxcluster lock N --to regular --reason 'new disk'": "",
		"mxcluster fallback N --wait -n":                    "",
		"mxcluster server":                                  "",
		"mxcluster help server add":                         "",
		"mxcluster lock --help":                             "",
		"mxcluster status [C]":                              "",
		"mxcluster failower 1":                              "no such command",
		"mxcluster lock N --too regular":                    "no flag --too",
		"mxcluster lock N --to regular --for soon":          "--for",
		"mxcluster lock N --to regular --for D":             "",
		"mxcluster lock N --to":                             "--to lacks its value",
		"mxcluster fallback":                                "argument",
		"mxcluster fallback 1 2":                            "argument",
		"mxcluster server paint srv1":                       "unknown command",
	} {
		if got := wrong(tree, line, false); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if got := wrong(tree, "mxcluster lock", true); got != "" {
		t.Errorf("a command that a text names: %q", got)
	}
}

// Every link between documents leads to a file, and to a heading in it where one is named; so do the
// names of files and folders of this tree.
func TestFilesThatDocumentsName(t *testing.T) {
	pages := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	named := regexp.MustCompile("`((?:docs|cmd|commands|clusterconf|netops|xdata|internal|packaging|bench|completions)/[^`\\s:]*)")
	for name, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: the link %s leads to nothing", name, m[1])
			} else if heading != "" && !slices.Contains(headings(t, target), heading) {
				t.Errorf("%s: %s has no heading for %s", name, target, m[1])
			}
		}
		if name == "CHANGELOG.md" || strings.HasPrefix(name, "docs/decisions/") { // they tell of files that there were
			continue
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if found, err := filepath.Glob(filepath.Join(root, m[1])); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	}
}

// headings returns the headings of a page as links name them.
func headings(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(name, " ", "-"))
	}
	return out
}

// Every page is reached from the front page, over the pages that it names or their folders;
// the front page lists each decision.
func TestEveryDocumentIsReached(t *testing.T) {
	pages := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s#]+)`)
	reached, todo := map[string]bool{}, []string{"docs/README.md"}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if reached[name] {
			continue
		}
		reached[name] = true
		for _, m := range link.FindAllStringSubmatch(pages[name], -1) {
			target := path.Join(path.Dir(name), m[1])
			for page := range pages {
				if page == target || path.Dir(page) == target {
					todo = append(todo, page)
				}
			}
		}
	}
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && !reached[name] {
			t.Errorf("no page that docs/README.md leads to names %s", name)
		}
		if file, is := strings.CutPrefix(name, "docs/decisions/"); is && !strings.Contains(pages["docs/README.md"], "](decisions/"+file+") ") {
			t.Errorf("docs/README.md does not list the decision %s", file)
		}
	}
}
