package clusterconf

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
)

// firstKeys are the keys that versions of the first level read.
var firstKeys = strings.Fields(`apiVersion kind system revision epoch changed editor servers lims clusters ancestors at by server command reason
	name base reachedAt interface lim standby services mediaServer gateways prompts run regularOnly media control fallback failover failoverAfter
	splitBrainStop alias priority lock leaving serverIsDead to since expires`)

// A key that versions of the first level do not read says which level it needs, or is below one
// that does.
func TestEveryKeyHasItsLevel(t *testing.T) {
	var look func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	look = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !isMapping(reflect.New(typ).Elem()) {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch level := f.Tag.Get("level"); {
			case level != "" || key == "level":
			case slices.Contains(firstKeys, key):
				look(f.Type)
			default:
				t.Errorf("%s.%s: the key %s is not of the first level, and does not say which it needs", typ.Name(), f.Name, key)
			}
		}
	}
	look(reflect.TypeFor[Document]())
}

func TestWhatADocumentNeeds(t *testing.T) {
	d := mustParse(t, twoLIMs)
	if d.AtLevel() != levels.First || len(d.Needs()) != 0 {
		t.Fatalf("a document with nothing new is at level %d, for %+v", d.AtLevel(), d.Needs())
	}
	apply(t, d, func(d *Document) error { return d.SetRehearsable(1, true) })
	apply(t, d, func(d *Document) error { return d.FreezeCluster("c1", epochOfLevels, "ann", "", nil) })
	want := []Need{{"lims[0].rehearsable", 2}, {"clusters[0].frozen", 2}}
	if got := d.Needs(); !slices.Equal(got, want) || d.AtLevel() != 2 {
		t.Errorf("it needs %+v and is at level %d, want %+v", got, d.AtLevel(), want)
	}
}

var epochOfLevels = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// The level rises with the first edit that needs it, stays when what needed it is gone, and goes
// down only by hand.
func TestLevelRisesWithAnEdit(t *testing.T) {
	s := storeIn(t.TempDir())
	if err := s.Create(t.Context(), mustParse(t, twoLIMs)); err != nil {
		t.Fatal(err)
	}
	level := func(fn func(*Document) error) int {
		t.Helper()
		r, err := s.Edit(t.Context(), Change{}, fn)
		if err != nil {
			t.Fatal(err)
		}
		d := mustParse(t, string(r.After.Bytes()))
		return d.Level
	}
	if got := level(func(d *Document) error { d.Clusters[0].LIMs[0].Priority++; return nil }); got != 0 {
		t.Errorf("level %d after an edit that needs none", got)
	}
	if got := level(func(d *Document) error { return d.FreezeCluster("c1", epochOfLevels, "", "", nil) }); got != 2 {
		t.Errorf("level %d after a freeze", got)
	}
	if got := level(func(d *Document) error { return d.UnfreezeCluster("c1") }); got != 2 {
		t.Errorf("level %d after the end of the freeze", got)
	}
	if got := level(func(d *Document) error {
		edited := d.Clone()
		edited.Level = 0
		return d.ReplaceWith(edited)
	}); got != 0 {
		t.Errorf("level %d after it was taken out by hand", got)
	}
}

func TestServersThatCannotReadADocument(t *testing.T) {
	before := mustParse(t, twoLIMs)
	after := before.Clone()
	apply(t, after, func(d *Document) error { return d.FreezeCluster("c1", epochOfLevels, "", "", nil) })
	programs := map[string]levels.Program{"srv1": {Levels: levels.Oldest()}, "srv2": {Levels: levels.Known()}, "sb1": {Levels: levels.Oldest()}}
	if got, want := Shuts(before, after, programs), []string{"sb1", "srv1"}; !slices.Equal(got, want) {
		t.Errorf("%q could not read it, want %q", got, want)
	}
	apply(t, after, func(d *Document) error { return d.LeaveBehind("srv1", true) })
	if got, want := Shuts(before, after, programs), []string{"sb1"}; !slices.Equal(got, want) {
		t.Errorf("%q could not read it, want %q: srv1 is left behind", got, want)
	}
	if got := Shuts(after, after, programs); len(got) > 0 {
		t.Errorf("an edit is refused for %q, which could not read the document before", got)
	}
	if err := after.LeaveBehind("nobody", true); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("leaving a server behind that is not there: %v", err)
	}
}

// A document of a higher level is not read, and its level is what is told first.
func TestDocumentOfAHigherLevel(t *testing.T) {
	_, err := Parse("cluster.yaml", []byte(strings.Replace(twoLIMs, "system:", "level: 99\nsystem:", 1)+"teleport: true\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "cluster.yaml:3:8: the document is of level 99; this version of mxcluster reads it up to level 2") || fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
}
