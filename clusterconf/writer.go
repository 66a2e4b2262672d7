package clusterconf

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// writer writes values as the YAML library would by the tags of their fields, in a
// twentieth of the time, and tells an address that may be left out from an empty one.
type writer struct {
	buf    []byte
	indent int
	item   bool // the next line is the first of a list's item
}

// begin indents a line and puts a hyphen where an item of a list begins.
func (w *writer) begin() {
	for range w.indent - 2 {
		w.buf = append(w.buf, ' ')
	}
	switch {
	case w.item:
		w.buf = append(w.buf, "- "...)
	case w.indent > 0:
		w.buf = append(w.buf, "  "...)
	}
	w.item = false
}

// fields writes those of a struct, each after a call of at with its key.
func (w *writer) fields(v reflect.Value, at func(key string)) {
	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		field := v.Field(i)
		at(key)
		if others, ok := field.Interface().(Foreign); ok {
			for _, line := range others.lines() {
				w.begin()
				w.buf = append(append(w.buf, line...), '\n')
			}
			continue
		}
		if option == "omitempty" && (field.IsZero() || field.Kind() == reflect.Slice && field.Len() == 0) {
			continue
		}
		w.begin()
		w.buf = append(append(w.buf, key...), ':')
		w.below(field)
	}
}

// below writes the value of a key: behind it, or on the lines below.
func (w *writer) below(v reflect.Value) {
	v = reflect.Indirect(v)
	switch {
	case v.Kind() == reflect.Slice && v.Len() == 0:
		w.buf = append(w.buf, " []\n"...)
	case v.Kind() == reflect.Slice:
		w.buf = append(w.buf, '\n')
		w.indent += 4
		for i := range v.Len() {
			w.item = true
			w.listed(v.Index(i))
		}
		w.indent -= 4
	case isMapping(v):
		w.buf = append(w.buf, '\n')
		w.indent += 2
		w.fields(v, func(string) {})
		w.indent -= 2
	default:
		w.buf = append(w.buf, ' ')
		w.single(v)
	}
}

// listed writes an item of a list.
func (w *writer) listed(v reflect.Value) {
	if isMapping(v) {
		w.fields(v, func(string) {})
		return
	}
	w.begin()
	w.single(v)
}

// isMapping tells whether a value has keys, and is none that is written as a text.
func isMapping(v reflect.Value) bool {
	return v.Kind() == reflect.Struct && !v.Type().Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// single writes a value that has no parts, and ends the line.
func (w *writer) single(v reflect.Value) {
	switch x := v.Interface().(type) {
	case time.Time:
		w.buf = x.AppendFormat(w.buf, time.RFC3339Nano)
	case encoding.TextMarshaler:
		text, _ := x.MarshalText() // no address or duration fails
		w.text(string(text))
		return
	default:
		switch v.Kind() {
		case reflect.String:
			w.text(v.String())
			return
		case reflect.Bool:
			w.buf = strconv.AppendBool(w.buf, v.Bool())
		case reflect.Uint64:
			w.buf = strconv.AppendUint(w.buf, v.Uint(), 10)
		default:
			w.buf = strconv.AppendInt(w.buf, v.Int(), 10)
		}
	}
	w.buf = append(w.buf, '\n')
}

// text writes a string, where needed in quotes, and ends the line.
func (w *writer) text(value string) {
	if plainText(value) || dotted(value) {
		w.buf = append(append(w.buf, value...), '\n')
		return
	}
	var v any = value
	if strings.ContainsAny(value, "\n\r\u0085\u2028\u2029") {
		// Else it would be on lines of its own.
		v = &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: value}
	}
	quoted, err := yaml.Marshal(v)
	if err != nil {
		// Marshalling a string fails in no case.
		panic(fmt.Sprintf("clusterconf: encode %q: %v", value, err))
	}
	w.buf = append(w.buf, quoted...)
}

// plainText tells of most texts that mean themselves in YAML. It need not find
// all: others are left to the YAML library.
func plainText(s string) bool {
	if s == "" || s[len(s)-1] == ' ' || s[len(s)-1] == ':' {
		return false
	}
	first := s[0]
	letter := 'a' <= first && first <= 'z' || 'A' <= first && first <= 'Z'
	// Shorter ones may be words such as true, Null or off.
	if !letter || len(s) <= 5 && strings.IndexByte("yYnNtTfFoO", first) >= 0 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == ' ', c == '.', c == '/', c == '-', c == '_', c == '=':
		case c == ':' && s[i+1] != ' ': // the last character was looked at
		default:
			return false
		}
	}
	return true
}

// dotted tells whether a text is an IPv4 address, with or without a prefix length, and
// so means itself.
func dotted(s string) bool {
	return strings.Count(s, ".") == 3 && strings.Trim(s, "0123456789./") == "" && s[0] != '.'
}
