package clusterconf

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"mxcluster/internal/nearest"
)

// reader turns YAML nodes into values and notes whatever does not fit, with
// its place. It goes on after a mistake, so that all of them are found.
type reader struct {
	violations []Violation
}

// readFunc reads the value at path.
type readFunc func(path string, n *yaml.Node)

// field is one key of a mapping.
type field struct {
	key      string
	required bool
	read     readFunc
}

func (r *reader) report(path string, n *yaml.Node, rule, hint, message string) {
	r.violations = append(r.violations, Violation{
		Path: path, Line: n.Line, Column: n.Column, Rule: rule, Message: message, Hint: hint,
	})
}

// plain refuses what would make a value mean something else than it shows.
func (r *reader) plain(path string, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.report(path, n, "anchor", "write the value out", "YAML aliases are not allowed")
	case n.Anchor != "":
		r.report(path, n, "anchor", "remove &"+n.Anchor, "YAML anchors are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		r.report(path, n, "tag", "remove "+n.Tag, "YAML tags are not allowed")
	default:
		return true
	}
	return false
}

// mapping hands every value to its field and notes keys that are unknown,
// repeated or missing. Keys of others go to others; nil: there are none here.
func (r *reader) mapping(path string, n *yaml.Node, others *Foreign, fields []field) {
	if !r.plain(path, n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrongType(path, n, "keys and values")
		return
	}
	lines := make([]int, len(fields)) // where each key was seen
	var meant []string                // by unknown keys: not reported as missing too
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if at < 0 && others != nil && key.Kind == yaml.ScalarNode && strings.HasPrefix(key.Value, foreignPrefix) && r.plain(path, key) {
			r.foreign(join(path, key.Value), key, value, others)
			continue
		}
		if at < 0 {
			meant = append(meant, r.unknownKey(path, key, fields))
			continue
		}
		inner := join(path, key.Value)
		if lines[at] != 0 {
			r.report(inner, key, "duplicate-key", "keep one of the two",
				key.Value+" was given before, on line "+strconv.Itoa(lines[at]))
			continue
		}
		lines[at] = key.Line
		if r.plain(inner, key) {
			fields[at].read(inner, value)
		}
	}
	for i, f := range fields {
		if f.required && lines[i] == 0 && !slices.Contains(meant, f.key) {
			r.report(join(path, f.key), n, "missing-key", "add "+f.key, f.key+" is missing")
		}
	}
}

// unknownKey notes a key that there is not and returns the one that was meant,
// or "".
func (r *reader) unknownKey(path string, key *yaml.Node, fields []field) string {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	what := strconv.Quote(key.Value)
	if key.Kind != yaml.ScalarNode {
		what = "that is not a word"
	}
	// Told at the path of the key that was meant, so that rules do not find
	// fault with the value that was not read.
	near := nearest.To(key.Value, known)
	r.report(join(path, cmp.Or(near, "?")), key, "unknown-key",
		didYouMean(key.Value, known, "known here: "+strings.Join(known, ", ")), "unknown key "+what)
	return near
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list reads every item of a sequence with read.
func list[T any](r *reader, dst *[]T, read func(path string, n *yaml.Node) T) readFunc {
	return func(path string, n *yaml.Node) {
		if !r.plain(path, n) {
			return
		}
		if n.Kind != yaml.SequenceNode {
			r.wrongType(path, n, "a list")
			return
		}
		for i, item := range n.Content {
			*dst = append(*dst, read(path+"["+strconv.Itoa(i)+"]", item))
		}
	}
}

// optional reads a value that is nil where its key is left out.
func optional[T any](dst **T, read func(path string, n *yaml.Node) T) readFunc {
	return func(path string, n *yaml.Node) {
		v := read(path, n)
		*dst = &v
	}
}

// scalar returns the text of a single value whose YAML type is one of tags.
func (r *reader) scalar(path string, n *yaml.Node, wanted string, tags ...string) (string, bool) {
	if !r.plain(path, n) {
		return "", false
	}
	if n.Kind == yaml.ScalarNode {
		for _, tag := range tags {
			if n.Tag == tag {
				return n.Value, true
			}
		}
	}
	r.wrongType(path, n, wanted)
	return "", false
}

// text reads a string. Something that YAML takes for a number or a boolean is
// refused: 010 or no would not come back as it was written.
func text[T ~string](r *reader, dst *T) readFunc {
	return func(path string, n *yaml.Node) {
		if v, ok := r.scalar(path, n, "text", "!!str"); ok {
			*dst = T(v)
		}
	}
}

func (r *reader) boolean(dst *bool) readFunc {
	return func(path string, n *yaml.Node) {
		if v, ok := r.scalar(path, n, "true or false", "!!bool"); ok {
			*dst = strings.EqualFold(v, "true")
		}
	}
}

// integer reads a whole number in its only decimal notation: YAML would read
// 010 as eight.
func (r *reader) integer(dst *int) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "a whole number", "!!int")
		if !ok {
			return
		}
		i, err := strconv.Atoi(v)
		if err != nil || strconv.Itoa(i) != v {
			r.wrongType(path, n, "a whole number")
			return
		}
		*dst = i
	}
}

func (r *reader) revision(dst *uint64) readFunc {
	return func(path string, n *yaml.Node) {
		var i int
		r.integer(&i)(path, n)
		*dst = uint64(max(i, 0))
	}
}

func (r *reader) prefix(dst *netip.Prefix) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "an address", "!!str")
		if !ok {
			return
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			r.report(path, n, "address", "write A.B.C.D/LEN, e.g. 10.0.0.11/24", strconv.Quote(v)+" is not an address with prefix length")
			return
		}
		*dst = p
	}
}

// address reads an address that stands without a prefix length.
func (r *reader) address(dst *netip.Addr) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "an address", "!!str")
		if !ok {
			return
		}
		a, err := netip.ParseAddr(v)
		if err != nil {
			r.report(path, n, "address", "write A.B.C.D, e.g. 10.0.0.11", strconv.Quote(v)+" is not an address")
			return
		}
		*dst = a
	}
}

func (r *reader) duration(dst *Duration) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "a duration", "!!str", "!!int")
		if !ok {
			return
		}
		if err := dst.UnmarshalText([]byte(v)); err != nil {
			r.report(path, n, "duration", "write e.g. 300ms, 10s or 5m", strconv.Quote(v)+" is not a duration")
		}
	}
}

func (r *reader) window(dst *Window) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "a window", "!!str")
		if !ok {
			return
		}
		if err := dst.UnmarshalText([]byte(v)); err != nil {
			r.report(path, n, "window", "write e.g. 22:00-05:00, or always", strconv.Quote(v)+" is not a time of day from one to another")
		}
	}
}

func (r *reader) rehearse(dst *Rehearse) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "text", "!!str")
		if !ok {
			return
		}
		var err error
		if *dst, err = ParseRehearse(v); err != nil {
			r.report(path, n, "rehearse", "write "+alternatives(RehearseWords()), strconv.Quote(v)+" is no time of rehearsals")
		}
	}
}

func (r *reader) time(dst *time.Time) readFunc {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "a time", "!!timestamp", "!!str")
		if !ok {
			return
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
			r.report(path, n, "time", "write e.g. 2026-03-01T02:00:00Z", strconv.Quote(v)+" is not a time")
			return
		}
		*dst = t
	}
}

// wrongType notes a value of another YAML type than wanted.
func (r *reader) wrongType(path string, n *yaml.Node, wanted string) {
	got := "a single value"
	switch {
	case n.Kind == yaml.MappingNode:
		got = "keys and values"
	case n.Kind == yaml.SequenceNode:
		got = "a list"
	case n.Tag == "!!null":
		got = "nothing"
	case n.Kind == yaml.ScalarNode:
		got = strconv.Quote(n.Value)
	}
	hint := "write " + wanted
	if wanted == "text" && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		hint = "put it in quotes: " + strconv.Quote(n.Value)
	}
	r.report(path, n, "type", hint, path+" must be "+wanted+", not "+got)
}
