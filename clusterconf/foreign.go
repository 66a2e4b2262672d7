package clusterconf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// foreignPrefix begins the keys of others.
const foreignPrefix = "x-"

// Foreign are the keys of others in one place of the document, such as "x-owner": they mean
// nothing here, are kept by edits, and travel with the document. It is their lines, in order, each a
// key and a value that is written as JSON in ASCII, with \U escapes of YAML.
type Foreign string

// lines are the keys with their values.
func (f Foreign) lines() []string {
	return strings.FieldsFunc(string(f), func(r rune) bool { return r == '\n' })
}

// text names them on one line.
func (f Foreign) text() string { return strings.Join(f.lines(), ", ") }

// beside names them behind what they stand beside; "": there are none.
func (f Foreign) beside() string {
	if f == "" {
		return ""
	}
	return " with " + f.text()
}

// validForeign tells whether a key is one of others.
func validForeign(key string) bool {
	name, ok := strings.CutPrefix(key, foreignPrefix)
	return ok && validName(name)
}

// foreign reads a key of others into those that there are.
func (r *reader) foreign(path string, key, value *yaml.Node, others *Foreign) {
	if !validForeign(key.Value) {
		r.report(path, key, "foreign-key", "after x- "+nameHint, strconv.Quote(key.Value)+" is not a valid key")
		return
	}
	lines := others.lines()
	if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, key.Value+": ") }) {
		r.report(path, key, "duplicate-key", "keep one of the two", key.Value+" was given before")
		return
	}
	if !r.plainAll(path, value) {
		return
	}
	text, err := asJSON(value)
	if err != nil {
		r.report(path, value, "type", "write words, numbers, lists, and keys that are words", path+" cannot be kept")
		return
	}
	lines = append(lines, key.Value+": "+text)
	slices.Sort(lines)
	*others = Foreign(strings.Join(lines, "\n") + "\n")
}

// plainAll is plain for a value and all in it.
func (r *reader) plainAll(path string, n *yaml.Node) bool {
	ok := r.plain(path, n)
	for _, inner := range n.Content {
		ok = ok && r.plainAll(path, inner)
	}
	return ok
}

// asJSON writes a value so that it is read back as it is: what YAML knows beyond JSON becomes what
// JSON has, first.
func asJSON(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", fmt.Errorf("decoding a value: %w", err)
	}
	text := ""
	for range 2 {
		raw, err := json.Marshal(v)
		if err != nil {
			return "", fmt.Errorf("encoding a value: %w", err)
		}
		text, v = inASCII(string(raw)), nil
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return "", fmt.Errorf("reading a value back: %w", err)
		}
	}
	return text, nil
}

// inASCII escapes in JSON what YAML would read as something else, or not at all.
func inASCII(text string) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c < 0x7f:
			b.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	return b.String()
}
