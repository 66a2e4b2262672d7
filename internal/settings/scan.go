package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// entry is a setting as a file gives it: its text, for a server named 007 is
// not the number 7.
type entry struct {
	value string
	line  int
}

// scan reads a settings file. Keys may be written nested or with dots. What is
// unknown or given twice is refused, which viper does not do.
func scan(path string, data []byte) (map[string]entry, error) {
	doc, err := parse(path, data)
	if err != nil || doc == nil {
		return nil, err
	}
	found := make(map[string]entry)
	err = walk(doc.Content[0], "", func(name string, at, value *yaml.Node) error {
		switch before, twice := found[name]; {
		case !known(name):
			return unknown(path, name, at.Line)
		case twice:
			return invalid(path, at.Line, "remove one of them", "%s is set already in line %d", name, before.line)
		case takesSeveral(name) && value.Kind == yaml.SequenceNode:
			text, err := joined(path, name, value)
			found[name] = entry{text, at.Line}
			return err
		case value.Kind != yaml.ScalarNode:
			return invalid(path, at.Line, "write one value behind it", "%s takes one value, not a list or a group", name)
		case value.Tag != "!!null": // nothing written: the default
			found[name] = entry{value.Value, at.Line}
		}
		return nil
	})
	return found, err
}

// parse returns a settings file's document, which is a mapping, or nil when
// the file holds none.
func parse(path string, data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntax(path, err)
	}
	switch err := d.Decode(&more); {
	case err == nil:
		return nil, invalid(path, more.Line, "keep one document in the file", "a second YAML document starts")
	case !errors.Is(err, io.EOF):
		return nil, syntax(path, err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, invalid(path, root.Line, "write lines such as: server: srv1", "settings are keys with values")
	}
	return &doc, nil
}

// walk visits every key that has no known group below it.
func walk(group *yaml.Node, prefix string, visit func(name string, at, value *yaml.Node) error) error {
	for i := 0; i+1 < len(group.Content); i += 2 {
		at, value := group.Content[i], group.Content[i+1]
		name := prefix + at.Value
		var err error
		if isGroup(name) && value.Kind == yaml.MappingNode {
			err = walk(value, name+".", visit)
		} else {
			err = visit(name, at, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// joined reads a list as the environment would give it, with commas.
func joined(path, name string, list *yaml.Node) (string, error) {
	var values []string
	for _, v := range list.Content {
		if v.Kind != yaml.ScalarNode || strings.Contains(v.Value, ",") {
			return "", invalid(path, v.Line, "write one value behind each dash", "%s is a list of plain values", name)
		}
		values = append(values, v.Value)
	}
	return strings.Join(values, ","), nil
}

// isGroup tells whether keys start with name and a dot.
func isGroup(name string) bool {
	return slices.ContainsFunc(names(), func(k string) bool {
		return strings.HasPrefix(k, name+".")
	})
}

func unknown(path, name string, line int) error {
	hint := "settings are " + strings.Join(names(), ", ")
	if near := nearest.To(name, names()); near != "" {
		hint = "did you mean " + near + "?"
	}
	return invalid(path, line, hint, "unknown setting %s", name)
}

func invalid(path string, line int, hint, format string, args ...any) error {
	return fault.New(fault.Invalid, hint, "%s:%d: %s", path, line, fmt.Sprintf(format, args...))
}

// syntax writes the parser's "yaml: line 3: ..." as every other error.
func syntax(path string, err error) error {
	const hint = "settings are lines such as: server: srv1"
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
		return invalid(path, line, hint, "%s", text)
	}
	return fault.New(fault.Invalid, hint, "%s: %s", path, text)
}
