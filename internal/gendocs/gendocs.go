// Package gendocs makes the files that are derived from the commands: a manual
// page and a page for readers on the web for each, and the completion scripts; and the
// manual pages that documents are made into; pictures of terminals; and the page of
// answers as JSON.
// They are committed, so that they can be read and packaged without building
// anything; this package's test holds them to the commands.
package gendocs

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"mxcluster/commands"
)

// Folders of the derived files, below the module's root. Nothing else is in them.
const (
	manDir        = "docs/man"
	cliDir        = "docs/cli"
	completionDir = "completions"
)

// Files returns the content of every derived file by its path below the module's
// root, which tree is. It depends on the commands and the documents alone: not on the time, the
// machine or the user.
func Files(tree fs.FS) (map[string][]byte, error) {
	root := commands.New(commands.Env{})
	root.DisableAutoGenTag = true // it has a date
	forAnybody(root)
	files := make(map[string][]byte)
	if err := pages(root, files); err != nil {
		return nil, err
	}
	if err := addManuals(tree, files); err != nil {
		return nil, err
	}
	if err := addTerminals(tree, files); err != nil {
		return nil, err
	}
	if err := addAnswers(tree, root, files); err != nil {
		return nil, err
	}
	return files, completions(root, files)
}

// forAnybody takes out defaults that depend on who asks.
func forAnybody(c *cobra.Command) {
	if f := c.Flags().Lookup("lab"); f != nil {
		f.DefValue = ""
	}
	for _, sub := range c.Commands() {
		forAnybody(sub)
	}
}

// pages adds the pages of a command and of those below it.
func pages(c *cobra.Command, files map[string][]byte) error {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			if err := pages(sub, files); err != nil {
				return err
			}
		}
	}
	for _, f := range []struct {
		dir, between, end string
		page              func(*cobra.Command) ([]byte, error)
	}{{manDir, "-", ".1", manual}, {cliDir, "_", ".md", markdown}} {
		text, err := f.page(c)
		if err != nil {
			return fmt.Errorf("describing %s: %w", c.CommandPath(), err)
		}
		files[path.Join(f.dir, strings.ReplaceAll(c.CommandPath(), " ", f.between)+f.end)] = text
	}
	return nil
}

// manual returns the manual page of a command.
func manual(c *cobra.Command) ([]byte, error) {
	var page bytes.Buffer
	header := doc.GenManHeader{Section: "1", Source: "mxcluster", Manual: "mxcluster", Date: &time.Time{}}
	if err := doc.GenMan(c, &header, &page); err != nil {
		return nil, err
	}
	var exits strings.Builder
	exits.WriteString(".SH EXIT STATUS\n")
	for _, e := range commands.ExitStatus(c) {
		fmt.Fprintf(&exits, ".TP\n\\fB%d\\fP\n%s\n", e.Code, e.Meaning)
	}
	exits.WriteString("\n")
	text := strings.Replace(page.String(), time.Time{}.Format("Jan 2006"), "", 1)
	return insert(text, ".SH SEE ALSO", exits.String()), nil
}

// markdown returns the page of a command for readers on the web.
func markdown(c *cobra.Command) ([]byte, error) {
	var page bytes.Buffer
	if err := doc.GenMarkdown(c, &page); err != nil {
		return nil, err
	}
	var exits strings.Builder
	exits.WriteString("### Exit status\n\n| code | meaning |\n|---|---|\n")
	for _, e := range commands.ExitStatus(c) {
		fmt.Fprintf(&exits, "| %d | %s |\n", e.Code, e.Meaning)
	}
	exits.WriteString("\n")
	return insert(page.String(), "### SEE ALSO", exits.String()), nil
}

// insert puts a section before another one, or at the end where that is missing.
func insert(page, before, section string) []byte {
	at := strings.Index(page, before)
	if at < 0 {
		at = len(page)
	}
	return []byte(page[:at] + section + page[at:])
}

// completions adds the completion script of each shell, under the name by which
// the shell finds it.
func completions(root *cobra.Command, files map[string][]byte) error {
	for name, generate := range map[string]func(*bytes.Buffer) error{
		"mxcluster.bash": func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_mxcluster":     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"mxcluster.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var script bytes.Buffer
		if err := generate(&script); err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		files[path.Join(completionDir, name)] = script.Bytes()
	}
	return nil
}
