package clusterconf

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"mxcluster/internal/levels"
)

// Need is a part of a document that versions below a level cannot read.
type Need struct {
	Path  string `json:"path"` // e.g. servers[0].drained
	Level int    `json:"level"`
}

// Needs lists the parts of the document that need a level above the first one. A key names its
// level in the tag of its field; one without such a tag is of the first level.
func (d *Document) Needs() []Need {
	return needs(nil, "", reflect.ValueOf(d).Elem())
}

// needs adds those below a value.
func needs(found []Need, path string, v reflect.Value) []Need {
	switch {
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			found = needs(found, at(path, i), v.Index(i))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		found = needs(found, path, v.Elem())
	case isMapping(v):
		for i := range v.NumField() {
			field := v.Type().Field(i)
			key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			level, err := strconv.Atoi(field.Tag.Get("level"))
			switch value := v.Field(i); {
			case value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0:
			case err == nil && key == "-":
				name, _, _ := strings.Cut(value.String(), ":")
				found = append(found, Need{Path: join(path, name), Level: level})
			case err == nil:
				found = append(found, Need{Path: join(path, key), Level: level})
			default:
				found = needs(found, join(path, key), value)
			}
		}
	}
	return found
}

// NeededLevel is the lowest level whose versions can read what stands in the document.
func (d *Document) NeededLevel() int {
	level := levels.First
	for _, n := range d.Needs() {
		level = max(level, n.Level)
	}
	return level
}

// AtLevel is the level that a version must understand to read the document. It rises with the first
// edit that needs it.
func (d *Document) AtLevel() int { return max(d.Level, d.NeededLevel()) }

// raise has the document say the level that it is at. The first one is not said: versions that
// understand nothing else do not know the key.
func (d *Document) raise() {
	if at := d.AtLevel(); at > levels.First {
		d.Level = at
	}
}

// Unread lists the servers of the document whose programs cannot read it, by what is known of them.
// Servers that were left behind do not count, nor do those of which nothing is known.
func (d *Document) Unread(programs map[string]levels.Program) []string {
	var out []string
	for _, s := range d.Servers {
		is, known := programs[s.Name]
		if known && !s.LeftBehind && is.Levels.Document < d.AtLevel() {
			out = append(out, s.Name)
		}
	}
	return out
}

// Shuts lists the servers that could read before, and cannot read after.
func Shuts(before, after *Document, programs map[string]levels.Program) []string {
	could := before.Unread(programs)
	return slices.DeleteFunc(after.Unread(programs), func(name string) bool { return slices.Contains(could, name) })
}

// LeaveBehind takes a server out of the count of those that must be able to read the document, or
// has it count again.
func (d *Document) LeaveBehind(name string, left bool) error {
	s, err := d.needServer(name)
	if err == nil {
		s.LeftBehind = left
	}
	return err
}

func checkLevel(d *Document, report reportFunc) {
	switch known := levels.Known().Document; {
	case d.Level > known:
		report("level", "upgrade mxcluster on this server", "the document is of level %d; this version of mxcluster reads it up to level %d", d.Level, known)
	case d.Level < 0:
		report("level", "leave it out", "level must be at least %d", levels.First)
	}
}
