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

// Keys of others mean nothing here. They stand at any level of the document, whatever is in them,
// are kept by edits, and come back as they were. Other unknown keys stay mistakes.
func TestKeysOfOthers(t *testing.T) {
	text := strings.NewReplacer("system:", "x-site: {name: Zürich, rack: [1, 0x10, -0.0, 1.50, ~, yes], at: 2026-03-01}\nsystem:",
		"  - name: sb1\n", "  - name: sb1\n    x-owner: \"no\"\n    x-a.b_c: \"two\\nlines \\u2028 \U0001f4de\"\n",
		"    services:\n", "    x-lim: []\n    services:\n", "    standby: sb1\n", "    standby: sb1\n    x-cluster: {}\n",
		"        alias: 10.0.0.11/24\n", "        alias: 10.0.0.11/24\n        x-member: 12\n").Replace(twoLIMs)
	first := mustParse(t, text)
	if first.Others == "" || first.Server("sb1").Others == "" || first.LIMs[0].Others == "" || first.Clusters[0].Others == "" || first.Clusters[0].LIMs[0].Others == "" || first.AtLevel() != 2 {
		t.Fatalf("read as %+v", first)
	}
	once := Encode(first)
	again := mustParse(t, string(once))
	if string(Encode(again)) != string(once) || !reflect.DeepEqual(again, first) {
		t.Errorf("they come back as\n%s\nand were\n%s", Encode(again), once)
	}
	if want := `x-site: {"at":"2026-03-01T00:00:00Z","name":"Z\u00fcrich","rack":[1,16,0,1.5,null,`; !strings.Contains(string(once), want) {
		t.Errorf("written as\n%s\nwant %s", once, want)
	}
	after := first.Clone()
	apply(t, after, func(d *Document) error { return d.FreezeCluster("c1", epochOfLevels, "", "", nil) })
	apply(t, after, func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Priorities: map[int]int{1: 5}}) })
	apply(t, after, func(d *Document) error { return d.SetServer("sb1", "eth1", "") })
	if after.Others != first.Others || after.Server("sb1").Others != first.Server("sb1").Others || after.Clusters[0].LIMs[0].Others != first.Clusters[0].LIMs[0].Others {
		t.Errorf("an edit lost some of them:\n%s", Encode(after))
	}
	if got := Diff(mustParse(t, twoLIMs), first); len(got) < 4 {
		t.Errorf("they are told as %q", got)
	}
	for _, wrong := range []string{"x-: 1", "x-a b: 1", "x-a: &b 1", "x-a: {1: 2}", "x-a: !!str 1", "x-a: 1\nx-a: 2", "x-a: .nan", "y-a: 1"} {
		if _, err := Parse("cluster.yaml", []byte(twoLIMs+wrong+"\n")); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// A document that says the first level is written without it: versions of that level do not know
// the key.
func TestFirstLevelIsNotSaid(t *testing.T) {
	d := mustParse(t, strings.Replace(full, "kind: ClusterDocument\n", "kind: ClusterDocument\nlevel: 1\n", 1))
	if strings.Contains(string(Encode(d)), "level") {
		t.Error("it is said")
	}
}

// What is said of keys of others anywhere in a document is a difference, so that an edit of theirs is
// neither hidden nor lost.
func TestDifferenceOfKeysOfOthers(t *testing.T) {
	marked := 0
	var visit func(v reflect.Value, set func())
	visit = func(v reflect.Value, set func()) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem(), set)
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), set)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Field(i)
				if f.Type() == reflect.TypeFor[Foreign]() {
					f.SetString("x-mark: 1\n")
					set()
					f.SetString("")
				} else if v.Type().Field(i).IsExported() {
					visit(f, set)
				}
			}
		}
	}
	before := mustParse(t, full)
	apply(t, before, func(d *Document) error { return d.SetManagement(*managed("10.0.0.40/24")) })
	after := before.Clone()
	visit(reflect.ValueOf(after), func() {
		marked++
		if lines := Diff(before, after); len(lines) == 0 {
			t.Errorf("place %d: no difference is told", marked)
		}
	})
	if marked < 8 {
		t.Errorf("only %d places were found", marked)
	}
}
