// Package alarmpages holds a page for each alarm: what it means, how to look, what to type.
package alarmpages

import "embed"

//go:embed *.md
var pages embed.FS

// Page returns the page of an alarm, in Markdown; "": there is no such alarm.
func Page(name string) string {
	text, err := pages.ReadFile(name + ".md")
	if err != nil {
		return ""
	}
	return string(text)
}

// Names lists the alarms, in the order of the alphabet.
func Names() []string {
	entries, err := pages.ReadDir(".")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name()[:len(e.Name())-len(".md")])
	}
	return names
}
