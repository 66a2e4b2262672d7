package clusterconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// notText returns the first thing in data that is no UTF-8 text, or nil. The
// YAML library would refuse it too, but without saying where.
func notText(data []byte) *Violation {
	line, column := 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		control := r < ' ' && r != '\t' && r != '\n' && r != '\r'
		if r == utf8.RuneError && size == 1 || control || r == 0x7f {
			return &Violation{Line: line, Column: column, Rule: "text", Hint: "remove it",
				Message: fmt.Sprintf("byte 0x%02x is not text", data[0])}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return nil
}

// maxSearched is the size in bytes of a text in which the place of a syntax
// error is searched for: the search reads it up to 30 times.
const maxSearched = 256 << 10

// syntaxViolation says what the YAML library could not read, and where. The
// library names no column, and as line often that where the surrounding list
// or mapping begins.
func syntaxViolation(data []byte, err error) Violation {
	v := Violation{Line: 1, Column: 1, Rule: "syntax", Message: "not valid YAML: " + err.Error(),
		Hint: "look at the indentation, quotes and brackets there and in the lines below"}
	if said, ok := strings.CutPrefix(err.Error(), "yaml: "); ok {
		place, rest, _ := strings.Cut(said, ": ")
		if line, err := strconv.Atoi(strings.TrimPrefix(place, "line ")); err == nil {
			v.Line, said = line, rest
		}
		v.Message = "not valid YAML: " + said
	}
	if len(data) <= maxSearched {
		v.Line, v.Column = syntaxPlace(data)
	}
	return v
}

// lineStart returns the length of what a line begins with before its value:
// indentation, hyphens of lists, a key.
func lineStart(line []byte) int {
	rest := bytes.TrimLeft(line, " ")
	for bytes.HasPrefix(rest, []byte("- ")) {
		rest = bytes.TrimLeft(rest[1:], " ")
	}
	if key, value, ok := bytes.Cut(rest, []byte(":")); ok && madeOf(string(key), letters) {
		rest = value
	}
	return len(line) - len(rest)
}

// syntaxPlace returns where a text that is no YAML stops being the beginning of
// some: the first line with which it can no longer be read, and in that line
// the first character. It halves the text again and again, as if what cannot
// be read never could be once more was added. Of a value that spans lines that
// is not true; such a value can be taken for the place.
func syntaxPlace(data []byte) (line, column int) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, len(lines))
	for i, end := 0, 0; i < len(lines); i++ {
		end += len(lines[i])
		ends[i] = end
	}
	bad := sort.Search(len(lines)-1, func(i int) bool { return !readable(data[:ends[i]]) })
	text := bytes.TrimRight(lines[bad], "\r\n")
	start := ends[bad] - len(lines[bad])
	head := lineStart(text)
	if !readable(data[:start+head]) {
		head = len(text) - len(bytes.TrimLeft(text, " "))
	} else {
		head += sort.Search(len(text)-head, func(i int) bool { return !readable(data[:start+head+i+1]) })
	}
	return bad + 1, 1 + utf8.RuneCount(text[:head])
}

// readable tells whether a text is YAML, of any number of documents.
func readable(data []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		switch err := decoder.Decode(&n); {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			return false
		}
	}
}
