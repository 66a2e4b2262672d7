package gendocs

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// manuals are the pages of sections 5 and 7: what documents say, for who reads without a
// browser.
var manuals = []struct {
	name, section, about string
	documents            []string // below docs; several become chapters
	seeAlso              string
}{
	{"mxcluster.yaml", "5", "settings of a server", []string{"reference/settings.md"},
		"mxcluster(1), mxcluster-config-validate(1), cluster.yaml(5), mxcluster(7)"},
	{"cluster.yaml", "5", "cluster document of mxcluster", []string{"reference/document.md"},
		"mxcluster(1), mxcluster-config-show(1), mxcluster-config-edit(1), mxcluster.yaml(5), mxcluster(7)"},
	{"mxcluster", "7", "how LIMs are kept in service", []string{"explanation/detection.md", "explanation/leases.md",
		"explanation/witnesses.md", "explanation/data.md", "reference/states.md", "explanation/limits.md"},
		"mxcluster(1), mxcluster.yaml(5), cluster.yaml(5)"},
}

// addManuals adds these pages, made of the documents in a tree.
func addManuals(tree fs.FS, files map[string][]byte) error {
	for _, m := range manuals {
		var page strings.Builder
		fmt.Fprintf(&page, "%% %q %q \"\" \"mxcluster\" \"mxcluster\"\n", strings.ToUpper(m.name), m.section)
		fmt.Fprintf(&page, "# NAME\n%s - %s\n\n", m.name, m.about)
		for _, d := range m.documents {
			text, err := fs.ReadFile(tree, path.Join("docs", d))
			if err != nil {
				return fmt.Errorf("making %s(%s): %w", m.name, m.section, err)
			}
			page.WriteString(chapter(string(text), len(m.documents) > 1))
		}
		fmt.Fprintf(&page, "# SEE ALSO\n%s\n", m.seeAlso)
		files[path.Join(manDir, m.name+"."+m.section)] = roff(page.String())
	}
	return nil
}

// picture is one of Markdown, and the empty line after it. A manual page has none.
var picture = regexp.MustCompile(`!\[[^\]]*\]\([^)]+\)\n\n?`)

// link is one of Markdown. A page on paper keeps what it says alone.
var link = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)

// chapter returns a document as a part of a page: under its title if it is one of several, else
// with its own chapters beside it.
func chapter(text string, oneOfSeveral bool) string {
	title, body, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
	body = lists(link.ReplaceAllString(picture.ReplaceAllString(body, ""), "$1"))
	if oneOfSeveral {
		return "# " + title + "\n" + body + "\n"
	}
	return "# DESCRIPTION\n" + strings.ReplaceAll(body, "\n## ", "\n# ") + "\n"
}

// lists turns tables, which are wider than a terminal, into lists: what the first column has, and
// below it the others, with their headings where there are several.
func lists(text string) string {
	var out []string
	var headings []string // of the table that this line is in
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		row, inTable := strings.CutPrefix(line, "|")
		switch {
		case !inTable:
			headings = nil
			out = append(out, line)
		case headings == nil:
			headings = cells(row)
		case strings.Trim(row, "|-: ") != "":
			out = append(out, item(headings, cells(row)), "")
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// cells are those of a table's row, which begins after the first bar.
func cells(row string) []string {
	all := strings.Split(strings.TrimSuffix(row, "|"), "|")
	for i, c := range all {
		all[i] = strings.TrimSpace(c)
	}
	return all
}

// item is a row as an item of a list of definitions.
func item(headings, row []string) string {
	var said []string
	for i, cell := range row[1:] {
		switch {
		case cell == "":
		case len(row) == 2 || headings[i+1] == "":
			said = append(said, cell)
		default:
			said = append(said, headings[i+1]+": "+cell)
		}
	}
	if len(said) == 0 {
		return "* " + row[0]
	}
	return row[0] + "\n:   " + strings.Join(said, "  \n    ")
}

// roff makes a manual page of Markdown.
func roff(text string) []byte {
	page := md2man.Render([]byte(text))
	return append(bytes.TrimRight(page, "\n"), '\n')
}
