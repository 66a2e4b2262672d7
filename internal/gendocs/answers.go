package gendocs

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/commands"
)

const (
	answersPage = "docs/reference/json.md"
	module      = "mxcluster/"
)

// addAnswers adds the page of what commands print with -o json: their keys, by the types of the
// answers and the comments beside their fields.
func addAnswers(tree fs.FS, root *cobra.Command, files map[string][]byte) error {
	var b strings.Builder
	b.WriteString(`# Answers as JSON

What commands print with ` + "`-o json`, key by key; `-o yaml` has the same keys. `[]` is each element of a list, `{}` each key of an object. " + `Times are RFC 3339 in UTC, durations milliseconds in keys that end in
` + "`Ms`" + `. What could not be seen is ` + "`null` or `\"unknown\"`, never `false`" + `. Keys are only ever added. ` + "`mxcluster config schema COMMAND`" + ` prints the same as a JSON Schema. Made of the program by ` + "`make docs`" + `.
`)
	w := answerWriter{tree: tree, comments: map[string]map[string]string{}}
	for _, a := range commands.Answers(root) {
		switch {
		case a.Kind != "":
			fmt.Fprintf(&b, "\n## %s\n\nBy `%s`.\n", a.Kind, strings.Join(a.Commands, "`, `"))
		case len(a.Commands) > 0:
			fmt.Fprintf(&b, "\n## %s\n\nWithout a kind.\n", strings.Join(a.Commands, ", "))
		default:
			b.WriteString("\n## Errors\n\nBy any command that fails, on standard error.\n")
		}
		b.WriteString("\n| key | value | |\n|---|---|---|\n")
		if err := w.rows(&b, "", a.Of, nil); err != nil {
			return err
		}
	}
	files[answersPage] = []byte(b.String())
	return nil
}

// answerWriter writes the tables of keys.
type answerWriter struct {
	tree     fs.FS
	comments map[string]map[string]string // of a package's fields, by folder and "Type.Field"
}

// rows writes a row for each key of a struct, and of what is in it. A type within itself is not
// followed again.
func (w *answerWriter) rows(b *strings.Builder, prefix string, t reflect.Type, within []reflect.Type) error {
	t, _ = inner(t)
	for _, outer := range within {
		if outer == t {
			return nil
		}
	}
	within = append(within[:len(within):len(within)], t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			if err := w.rows(b, prefix, f.Type, within); err != nil {
				return err
			}
			continue
		}
		if tag == "-" || !f.IsExported() {
			continue
		}
		tag = cmp.Or(tag, f.Name)
		comment, err := w.comment(t, f.Name)
		if err != nil {
			return err
		}
		of, suffix := inner(f.Type)
		value := valueOf(f.Type)
		if strings.Contains(options, "omit") {
			value += ", or left out"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", prefix+tag, value, strings.ReplaceAll(comment, "|", "\\|"))
		if of.Kind() == reflect.Struct && !isText(of) {
			if err := w.rows(b, prefix+tag+suffix+".", of, within); err != nil {
				return err
			}
		}
	}
	return nil
}

// inner returns what a pointer, list or map holds in the end, and how a path names it.
func inner(t reflect.Type) (reflect.Type, string) {
	suffix := ""
	for !isText(t) {
		switch t.Kind() {
		case reflect.Pointer:
		case reflect.Slice, reflect.Array:
			suffix += "[]"
		case reflect.Map:
			suffix += ".{}"
		default:
			return t, suffix
		}
		t = t.Elem()
	}
	return t, suffix
}

// isText reports whether a type writes itself as a string.
func isText(t reflect.Type) bool {
	text := reflect.TypeFor[encoding.TextMarshaler]()
	return t == reflect.TypeFor[time.Time]() || t.Kind() != reflect.Pointer && t.Implements(text)
}

// valueOf names the value of a key.
func valueOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case isText(t):
		return "string"
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Interface:
		return "any"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return valueOf(t.Elem()) + " or null"
	case reflect.Slice, reflect.Array:
		return "list of " + plural(valueOf(t.Elem()))
	case reflect.Map:
		return "object of " + plural(valueOf(t.Elem()))
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "string"
	}
	return "number"
}

func plural(value string) string {
	switch value {
	case "any", "true or false":
		return value
	}
	first, rest, _ := strings.Cut(value, " ")
	return strings.TrimSpace(first + "s " + rest)
}

// comment returns what stands beside or above a field in the source.
func (w *answerWriter) comment(t reflect.Type, field string) (string, error) {
	folder := strings.TrimPrefix(t.PkgPath(), module)
	if w.comments[folder] == nil {
		found, err := commentsIn(w.tree, folder)
		if err != nil {
			return "", err
		}
		w.comments[folder] = found
	}
	return forReaders(w.comments[folder][t.Name()+"."+field]), nil
}

var (
	reference = regexp.MustCompile(`[;,]? see \[[\w.]+\]`)
	nothing   = regexp.MustCompile(`\bnil\b`)
)

// forReaders words a comment for those who do not read the source.
func forReaders(comment string) string {
	return nothing.ReplaceAllString(reference.ReplaceAllString(comment, ""), "null")
}

// commentsIn reads the comments of the fields of every struct of a package, by "Type.Field".
func commentsIn(tree fs.FS, folder string) (map[string]string, error) {
	sources, err := fs.Glob(tree, path.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(tree, source)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				noteComments(out, spec.Name.Name, s)
			}
			return false
		})
	}
	return out, nil
}

func noteComments(out map[string]string, name string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		text := f.Comment.Text()
		if text == "" {
			text = f.Doc.Text()
		}
		for _, n := range f.Names {
			out[name+"."+n.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}
