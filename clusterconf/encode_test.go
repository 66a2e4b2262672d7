package clusterconf

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// A document in canonical form is written as it was read.
func TestEncodeIsCanonical(t *testing.T) {
	for _, text := range []string{twoLIMs, full} {
		if got := string(Encode(mustParse(t, text))); got != header+text {
			t.Errorf("got\n%s\nwant\n%s", got, header+text)
		}
	}
}

// Order in the file and in memory makes no difference, but that of services does.
func TestEncodeSorts(t *testing.T) {
	d := mustParse(t, full)
	want := Encode(d)
	shuffled := d.Clone()
	slices.Reverse(shuffled.Servers)
	slices.Reverse(shuffled.Clusters[0].LIMs)
	slices.Reverse(shuffled.LIMs[0].Gateways)
	if got := Encode(shuffled); string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if shuffled.Servers[0].Name != "srv2" {
		t.Error("Encode changed its argument")
	}
	if Hash(shuffled) != Hash(d) {
		t.Error("order changes the hash")
	}
	slices.Reverse(shuffled.LIMs[0].Services)
	if Hash(shuffled) == Hash(d) {
		t.Error("order of services does not change the hash")
	}
}

func TestRoundTrip(t *testing.T) {
	documents := map[string]*Document{
		"two LIMs": mustParse(t, twoLIMs), "full": mustParse(t, full), "no cluster": uncreated(), "large": large(124),
	}
	for name, d := range documents {
		t.Run(name, func(t *testing.T) {
			first := Encode(d)
			back, err := Parse("test.yaml", first)
			if err != nil {
				t.Fatal(err)
			}
			d.sort()
			if !reflect.DeepEqual(back, d) {
				t.Errorf("got  %+v\nwant %+v", back, d)
			}
			if second := Encode(back); string(second) != string(first) {
				t.Errorf("got\n%s\nwant\n%s", second, first)
			}
		})
	}
}

// Texts that look like other YAML types come back as they were.
func TestEncodeQuotes(t *testing.T) {
	d := mustParse(t, twoLIMs)
	for _, reason := range []string{"no", "010", "null", "2026-01-01", "a: b", "# c", "'", `"`, "- x", "ä€", "&a", "!!str x", " x ", "<<", "=", strings.Repeat("word ", 100)} {
		d.Changed.Reason = reason
		back, err := Parse("test.yaml", Encode(d))
		if err != nil {
			t.Errorf("%q: %v", reason, err)
		} else if back.Changed.Reason != reason {
			t.Errorf("%q became %q", reason, back.Changed.Reason)
		}
	}
}

func TestHash(t *testing.T) {
	d := mustParse(t, twoLIMs)
	h := Hash(d)
	if !strings.HasPrefix(h, "sha256:") || len(h) != len("sha256:")+64 {
		t.Errorf("hash %q", h)
	}
	d.Clusters[0].LIMs[0].Priority++
	if Hash(d) == h {
		t.Error("a change does not change the hash")
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond: "300ms", 10 * time.Second: "10s", 5 * time.Minute: "5m",
		2 * time.Hour: "2h", 90 * time.Second: "1m30s", time.Hour + time.Second: "1h0m1s", 0: "0s", 10 * time.Hour: "10h",
	} {
		text, err := Duration(d).MarshalText()
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", d, text, err)
		}
		var back Duration
		if err := back.UnmarshalText(text); err != nil || back != Duration(d) {
			t.Errorf("%s came back as %s, %v", d, back, err)
		}
	}
}

// A document that an edit leaves as it must be is read back from what is stored as it was,
// whatever its texts are.
func TestWhatIsStorableIsReadBack(t *testing.T) {
	for _, text := range texts {
		d := mustParse(t, full)
		d.Changed.Reason, d.Changed.By, d.Changed.Command, d.LIMs[0].Prompts = text, text, text, "/"+text
		d.LIMs[0].Gateways, d.LIMs[0].Services = []string{text}, []Service{{Run: "exec:/" + text}}
		d.Clusters[0].LIMs[0].Lock = &Lock{To: SideRegular, Since: testTime, By: text, Reason: text}
		for _, fits := range []func(*Document){
			func(*Document) {}, func(d *Document) { d.LIMs[0].Gateways = nil }, func(d *Document) { d.LIMs[0].Services = nil },
			func(d *Document) { d.LIMs[0].Prompts = "" },
		} {
			fits(d) // rules of one part must not hide the others
			if storable(Freeze(d)) != nil {
				continue
			}
			back, err := Parse("test.yaml", Encode(d))
			if err != nil {
				t.Errorf("%q: %v", text, err)
			} else if !reflect.DeepEqual(back, Freeze(d).Document) {
				t.Errorf("%q: got  %+v\nwant %+v", text, back, d)
			}
		}
	}
}

// Of two documents the content is compared, not what tells them apart.
func TestSameContent(t *testing.T) {
	d := Freeze(mustParse(t, full))
	next := d.Clone()
	next.Revision, next.Epoch, next.Editor, next.Ancestors, next.Changed.Reason = 9, 2, "sb1", []string{d.Mark()}, "another"
	if !Freeze(next).sameContent(d) {
		t.Error("the revision counts as content")
	}
	for name, edit := range map[string]func(*Document){
		"server": func(d *Document) { d.Servers[0].Interface = "eth9" }, "LIM": func(d *Document) { d.LIMs[0].Gateways = nil },
		"cluster": func(d *Document) { d.Clusters[0].LIMs[0].Priority++ }, "no cluster": func(d *Document) { d.Clusters = nil },
	} {
		c := d.Clone()
		edit(c)
		if Freeze(c).sameContent(d) {
			t.Errorf("%s: another content is taken for the same", name)
		}
	}
}

// A document that was stored, or adopted, is not taken apart again by who stored it.
func TestWhatWasStoredIsNotParsedAgain(t *testing.T) {
	s := storeIn(t.TempDir())
	if err := s.Create(t.Context(), uncreated()); err != nil {
		t.Fatal(err)
	}
	res, err := s.Edit(t.Context(), ordered, func(d *Document) error { return d.SetServer("free1", "eth5", "") })
	if err != nil || s.Look().Document != res.After {
		t.Errorf("after an edit: %v", err)
	}
	next := res.After.Clone()
	next.Revision, next.Ancestors = 3, descend(res.After)
	sent, err := ParseEncoded("test.yaml", Encode(next))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Adopt(t.Context(), sent); err != nil || !got.Adopted || s.Look().Document != sent {
		t.Errorf("after adopting: %+v, %v", got, err)
	}
	if _, err := s.EditFrom(t.Context(), res.After.Hash(), ordered, func(*Document) error { return nil }); fault.CodeOf(err) != fault.Busy {
		t.Errorf("an edit of the document before: %v", err)
	}
	read, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	read.Servers[0].Name = "changed"
	if s.Look().Document.Server("changed") != nil {
		t.Error("what was read is the store's own")
	}
}
