package clusterconf

import (
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// scan reads the YAML that Encode writes, and what people commonly make of it,
// several times as fast as the YAML library: block mappings and lists with
// plain one-line values. The nodes are those that the library makes, but for
// comments. At anything else it returns nil, and the library must read the
// text; it alone finds errors.
func scan(data []byte) *yaml.Node {
	for _, c := range data {
		if c == '\r' || c >= utf8.RuneSelf {
			return nil // may end a line where no newline is
		}
	}
	s := &scanner{}
	for number, line := range strings.Split(string(data), "\n") {
		text := strings.TrimLeft(line, " ")
		if text == "" || text[0] == '#' {
			continue
		}
		l, ok := scanLine(text)
		if !ok {
			return nil
		}
		l.number, l.indent = number+1, len(line)-len(text)
		s.lines = append(s.lines, l)
	}
	if len(s.lines) == 0 || s.lines[0].indent != 0 {
		return nil
	}
	root := s.block(0)
	if s.unclear || len(s.lines) > 0 { // indented as nothing before it
		return nil
	}
	return root
}

// scanner holds the lines that were not made nodes yet.
type scanner struct {
	lines   []line
	unclear bool // there was a key without a value, or with a list that is not indented
}

// line is one line of the text: [- ][KEY:][ VALUE].
type line struct {
	number, indent int
	hyphen         bool
	key            string
	value          string
	tag            string // of the value, if there is one
	valueAt        int    // bytes from the indentation to the value
}

// maxKey is the length up to which a word is taken for a key. YAML has a limit
// of its own; no key of the document comes near it.
const maxKey = 32

// scanLine takes a line without its indentation apart.
func scanLine(text string) (l line, ok bool) {
	rest, hyphen := strings.CutPrefix(text, "- ")
	l.hyphen = hyphen
	end := 0
	for end < len(rest) && end < maxKey && (rest[end]|0x20 >= 'a' && rest[end]|0x20 <= 'z') {
		end++
	}
	if end > 0 && end < len(rest) && rest[end] == ':' && (end+1 == len(rest) || rest[end+1] == ' ') {
		l.key, rest = rest[:end], rest[end+1:]
		if plainTag(l.key) != "!!str" {
			return l, false
		}
		if rest == "" {
			return l, true
		}
		rest = rest[1:]
	}
	l.value, l.valueAt = rest, len(text)-len(rest)
	l.tag = plainTag(rest)
	return l, l.tag != "" && (l.key != "" || hyphen)
}

// block makes a node of the lines that are indented by indent, and of those
// below them. It stops at what does not belong there.
func (s *scanner) block(indent int) *yaml.Node {
	first := s.lines[0]
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: first.number, Column: indent + 1}
	if first.hyphen {
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	}
	for len(s.lines) > 0 && s.lines[0].indent == indent && s.lines[0].hyphen == first.hyphen {
		l := s.lines[0]
		var value *yaml.Node
		switch {
		case l.hyphen && l.key != "":
			// The item is a mapping that begins behind the hyphen.
			s.lines[0].hyphen, s.lines[0].indent, s.lines[0].valueAt = false, indent+2, l.valueAt-2
			value = s.block(indent + 2)
		case l.value != "":
			s.lines = s.lines[1:]
			value = &yaml.Node{Kind: yaml.ScalarNode, Tag: l.tag, Value: l.value, Line: l.number, Column: indent + l.valueAt + 1}
		default:
			s.lines = s.lines[1:]
			if len(s.lines) == 0 || s.lines[0].indent <= indent {
				s.unclear = true
				return n
			}
			value = s.block(s.lines[0].indent)
		}
		if !l.hyphen {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: l.key, Line: l.number, Column: indent + 1})
		}
		n.Content = append(n.Content, value)
	}
	return n
}

// plainTag returns the tag of a value that stands for itself on one line, or
// "" where that is not certain.
func plainTag(s string) string {
	switch s {
	case "true", "false":
		return "!!bool"
	}
	if s == "" || s[len(s)-1] == ' ' || s[len(s)-1] == ':' || len(s) > maxText {
		return ""
	}
	letters, dots := 0, 0 // letters: such as no number and no time has
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			if !strings.ContainsRune("eEtTzZ", rune(c)) {
				letters++
			}
		case c == '.':
			dots++
		case i > 0 && strings.IndexByte(" /-_=@+{},", c) >= 0, i == 0 && c == '/', c == ':' && i > 0 && s[i+1] != ' ':
		default:
			return ""
		}
	}
	switch first := s[0]; {
	case first == '/' || first|0x20 >= 'a' && first|0x20 <= 'z':
		return wordTag(s)
	case dots == 3 && strings.Trim(s, "0123456789./") == "" && first != '.':
		return "!!str" // an address
	case first >= '1' && first <= '9' && letters > 0:
		return "!!str"
	case strings.Trim(s, "0123456789") == "" && len(s) <= 18 && (first != '0' || s == "0"):
		return "!!int"
	case len(s) >= len("2006-01-02T15:04:05Z") && isTime(s):
		return "!!timestamp"
	}
	return ""
}

// wordTag is plainTag for what begins with a letter.
func wordTag(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null":
		return "" // in capitals
	}
	return "!!str"
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil && s[len(s)-1] == 'Z'
}
