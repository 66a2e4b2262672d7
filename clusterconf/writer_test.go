package clusterconf

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// byLibrary encodes a sorted document with the YAML library and the fields' tags.
func byLibrary(t testing.TB, d *Document) []byte {
	t.Helper()
	b := bytes.NewBufferString(header)
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	if err := e.Encode(d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is written by hand is what the YAML library writes.
func TestEncodeIsTheLibrarysYAML(t *testing.T) {
	documents := map[string]*Document{
		"two LIMs": mustParse(t, twoLIMs), "full": mustParse(t, full), "no cluster": uncreated(), "large": large(124),
		"zero": {}, "empty parts": {
			Servers: make([]Server, 2), LIMs: []LIM{{MediaServer: &MediaServer{}}, {Services: make([]Service, 2), Gateways: make([]string, 2)}},
			Clusters: []Cluster{{}, {LIMs: []Member{{}, {Lock: &Lock{}}}}},
		},
		"addresses": {Servers: []Server{{Base: prefix("2001:db8::1/64")}, {Base: prefix("::1/128")}, {Base: prefix("::ffff:10.0.0.1/96")}, {Base: netip.PrefixFrom(addr("10.0.0.1"), 99)}}},
		"numbers":   {Revision: 1 << 63, Servers: []Server{{LIM: -5}}, Clusters: []Cluster{{FailoverAfter: -1, LIMs: []Member{{Priority: -1 << 62}}}}},
	}
	for name, d := range documents {
		d.sort()
		// The library takes every netip.Prefix that may be left out for an empty one.
		got := bytes.Replace(Encode(d), []byte("    reachedAt: 10.0.0.41/24\n"), nil, 1)
		if want := byLibrary(t, d); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// texts that are hard to tell from other YAML.
var texts = []string{
	"", " ", "a", "a b", "a b ", " a", "a: b", "a:b", "a:", ":a", "a #b", "a#b", "# a", "-", "- a", "-a", "--- a", "a-b",
	"true", "True", "TRUE", "truest", "yes", "y", "Y", "no", "No", "n", "on", "off", "OFF", "null", "Null", "nullify", "~", "nan", ".nan", ".inf", "inf", "Infinity", "infinity",
	"0", "010", "0x1f", "0b1", "0o7", "1e3", "1_000", "1:30", "190:20:30", "1.5", ".5", "-1", "+1", "5k2j9x", "1A", "1a", "12e5", "1e5a",
	"2026-01-01", "2026-03-01T02:00:00Z", "2026-13-45", "10.0.0.1", "10.0.0.1/24", "=", "<<", "<", ">", "|", "?", "? a", "!a", "&a", "*a", "@a", "`a", "%a", "'", `"`, "'a'", `"a"`, "a'b", `a\b`,
	"[a]", "{a}", "a]", "a,b", "ä", "grüße 電話", "a\u00a0b", "a\u2028b", "a\u0085b", "a\rb", "a\nb", "a\n", "\ta", "a\tb", "\x00", "\x7f", "\ufeffa", "😀",
	"mxcluster create c1 --standby sb1 --lim 1=10.0.0.21", "exec:/opt/lim/{lim}", "systemd:lim@{lim}.service", "ocf:heartbeat:IPaddr2,ip=10.0.0.1", strings.Repeat("word ", 100) + "end", strings.Repeat("x", 300),
}

// Every text comes back as it was, and is written as the library writes it
// where it may be in a document.
func TestEncodeTexts(t *testing.T) {
	for _, text := range texts {
		d := &Document{System: text, Changed: Change{By: text, At: testTime}, LIMs: []LIM{{Gateways: []string{text}}}, Servers: []Server{{Name: text, Interface: text}}}
		got := Encode(d)
		if want := byLibrary(t, d); !bytes.Equal(got, want) && printable(text) {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
		var back Document
		if err := yaml.Unmarshal(got, &back); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if back.System != text || back.Changed.By != text || back.LIMs[0].Gateways[0] != text {
			t.Errorf("%q came back as %q", text, back.System)
		}
	}
}

// FuzzEncodeText holds that any text survives, and that any that a document
// may have is written as the library writes it.
func FuzzEncodeText(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !printable(text) {
			return
		}
		d := &Document{System: text, LIMs: []LIM{{Gateways: []string{text}}}}
		if got, want := Encode(d), byLibrary(t, d); !bytes.Equal(got, want) {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	})
}

// What the YAML library takes for what Encode writes.
func BenchmarkEncodeByLibrary(b *testing.B) {
	d := large(largestClusters)
	d.sort()
	for b.Loop() {
		byLibrary(b, d)
	}
}
