package clusterconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the size limit of a cluster document in bytes. The largest system
// the product is made for takes about a tenth of it.
const MaxSize = 1 << 20

// maxReported bounds what is said of one document: a file of garbage is not
// worth a million messages.
const maxReported = 100

// Parse reads a cluster document and checks every rule. The file's name is
// only used in messages. The lists of the result are in canonical order.
//
// The error has code fault.Invalid and wraps a *ValidationError with all that
// is wrong, so that one round of editing can put it right.
func Parse(name string, data []byte) (*Document, error) {
	root, violations := parseYAML(data)
	if violations != nil {
		return nil, invalid(name, violations)
	}
	r := &reader{}
	doc := r.document(root)
	violations = append(r.violations, rulesFor(doc, r.violations)...)
	if len(violations) == 0 {
		doc.sort()
		return doc, nil
	}
	for i := range violations {
		v := &violations[i]
		if v.Line == 0 {
			v.Line, v.Column = locate(root, v.Path)
		}
	}
	slices.SortStableFunc(violations, func(a, b Violation) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return nil, invalid(name, violations[:min(len(violations), maxReported)])
}

// ParseEncoded is Parse of a document that is passed on as it is.
func ParseEncoded(name string, data []byte) (*Encoded, error) {
	d, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	return Freeze(d), nil
}

// rulesFor checks the rules on a document of which parts may have been
// unreadable: what lies in such a part is left out, for it was reported.
func rulesFor(doc *Document, unreadable []Violation) []Violation {
	if len(unreadable) == 0 {
		return Validate(doc)
	}
	var found []Violation
	for _, rule := range rules {
		if rule.references {
			continue // what is referred to may be what could not be read
		}
		found = append(found, rule.violations(doc)...)
	}
	return slices.DeleteFunc(found, func(v Violation) bool {
		return slices.ContainsFunc(unreadable, func(u Violation) bool { return within(v.Path, u.Path) })
	})
}

// within tells whether path is outer or lies inside it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// parseYAML returns the content node of the only YAML document in data.
func parseYAML(data []byte) (*yaml.Node, []Violation) {
	if v := tooLong(data); v != nil {
		return nil, []Violation{*v}
	}
	if v := notText(data); v != nil {
		return nil, []Violation{*v}
	}
	if root := scan(data); root != nil {
		return root, nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF) || err == nil && isEmpty(&first):
		return nil, []Violation{{Line: 1, Column: 1, Rule: "empty", Message: "the cluster document is empty",
			Hint: "restore it from the history folder, or copy it from another server of the system"}}
	case err != nil:
		return nil, []Violation{syntaxViolation(data, err)}
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
		return first.Content[0], nil
	case err != nil:
		return nil, []Violation{syntaxViolation(data, err)}
	}
	return nil, []Violation{{Line: second.Line, Column: second.Column, Rule: "single-document",
		Message: "a second YAML document begins here", Hint: "keep one document in the file"}}
}

// tooLong returns what is wrong with a text that is longer than a document may be, or nil.
func tooLong(data []byte) *Violation {
	if len(data) <= MaxSize {
		return nil
	}
	return &Violation{Line: 1, Column: 1, Rule: "size", Message: fmt.Sprintf("the cluster document has %d bytes, the limit is %d", len(data), MaxSize)}
}

// isEmpty tells whether a file held nothing but comments or a null.
func isEmpty(n *yaml.Node) bool {
	return len(n.Content) == 0 || n.Content[0].Kind == yaml.ScalarNode && n.Content[0].Tag == "!!null"
}

// locate returns line and column of the value at path, or of the innermost
// part of the path that exists.
func locate(n *yaml.Node, path string) (line, column int) {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		next := valueOf(n, step)
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			next = n.Content[i]
		}
		if next == nil {
			break
		}
		n = next
	}
	return n.Line, n.Column
}

// valueOf returns the value of a key in a mapping, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
