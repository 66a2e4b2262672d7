package clusterconf

import (
	"bytes"
	"encoding"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// writer writes a document as the YAML library would by the fields' tags, in a
// fiftieth of the time: every edit writes the document three times.
type writer struct {
	buf    []byte
	indent int
	item   bool // the next key is the first of a list's item
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

// key begins a line with a key.
func (w *writer) key(name string) {
	w.begin()
	w.buf = append(append(w.buf, name...), ':')
}

// section writes a key whose value is on the lines below.
func (w *writer) section(name string, value func()) {
	w.key(name)
	w.buf = append(w.buf, '\n')
	w.indent += 2
	value()
	w.indent -= 2
}

// items writes a list, and nothing at all for an empty one.
func items[T any](w *writer, name string, list []T, item func(*T)) {
	if len(list) == 0 {
		return
	}
	w.section(name, func() {
		w.indent += 2
		for i := range list {
			w.item = true
			item(&list[i])
		}
		w.indent -= 2
	})
}

// text writes a string, where needed in quotes.
func (w *writer) text(name, value string) {
	w.key(name)
	w.buf = append(w.buf, ' ')
	w.scalar(value)
}

// textIf writes a string unless it is empty.
func (w *writer) textIf(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// scalar writes a string and ends the line.
func (w *writer) scalar(value string) {
	if plainText(value) {
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

func (w *writer) number(name string, value int) {
	w.key(name)
	w.buf = append(strconv.AppendInt(append(w.buf, ' '), int64(value), 10), '\n')
}

// yes writes true, and nothing for false.
func (w *writer) yes(name string, value bool) {
	if value {
		w.key(name)
		w.buf = append(w.buf, " true\n"...)
	}
}

// address writes an address, with or without a prefix length.
func (w *writer) address(name string, value encoding.TextAppender) {
	w.key(name)
	w.buf = append(w.buf, ' ')
	mark := len(w.buf)
	w.buf, _ = value.AppendText(w.buf) // no address fails
	text := w.buf[mark:]
	if !dotted(text) {
		w.buf = w.buf[:mark]
		w.scalar(string(text))
		return
	}
	w.buf = append(w.buf, '\n')
}

// dotted tells whether a text is one of an IPv4 address and so means itself.
func dotted(s []byte) bool {
	return bytes.Count(s, []byte(".")) == 3 && len(bytes.Trim(s, "0123456789./")) == 0
}

func (w *writer) time(name string, value time.Time) {
	w.key(name)
	w.buf = append(value.AppendFormat(append(w.buf, ' '), time.RFC3339Nano), '\n')
}
