package clusterconf

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// nodes reads a text with the YAML library, without comments.
func nodes(t *testing.T, data []byte) *yaml.Node {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decoder.Decode(&first); err != nil {
		t.Fatalf("scanned, but %v", err)
	}
	if err := decoder.Decode(&second); err == nil {
		t.Fatal("scanned, but there are two documents")
	}
	uncomment(&first)
	return first.Content[0]
}

func uncomment(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		uncomment(c)
	}
}

// The scanner must read what Encode writes, or it is of no use.
func TestScanReadsDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"two LIMs": twoLIMs, "full": full, "written": string(Encode(mustParse(t, full))), "large": string(Encode(large(largestClusters))),
		"comments": "# one\n\n" + strings.ReplaceAll(full, "\n  - name", "\n    # two\n\n  - name"),
		"no end":   strings.TrimSuffix(full, "\n"), "unusual indents": strings.ReplaceAll(full, "\n    lims:\n      - ", "\n    lims:\n           - lim: 1\n             alias: b\n           - "),
	} {
		root := scan([]byte(text))
		if root == nil {
			if name != "unusual indents" { // whose further lines no longer fit
				t.Errorf("%s is not read", name)
			}
			continue
		}
		if want := nodes(t, []byte(text)); !reflect.DeepEqual(root, want) {
			t.Errorf("%s is read as something else", name)
		}
	}
}

// What the scanner does not know it leaves to the library.
func TestScanLeaves(t *testing.T) {
	for _, text := range []string{
		"", "\n", "# a\n", "a", "a:", "a:\n", "a: \n", "a: b ", "a: b #c", "a: 'b'", `a: "b"`, "a: [b]", "a: {b: c}", "a: |\n  b", "a: b\n c", " a: b", "a: b\n  c: d",
		"a:\n- b", "a:\n  - b\n c: d", "- a", "a:\n  - - b", "a:\n  -  b: c", "a:\n  -\n    b: c", "a: b\n- c", "a: &b c", "a: *b", "a: !!str b", "? a\n: b", "1: b", "a b: c", "a:\tb", "\ta: b",
		"a: b\r\n", "---\na: b", "a: b\n---\nc: d", "a: b\n...\n", "%YAML 1.2\n", "<<: b", "a: b: c", "a: b:", "a: ä", "a: 010", "a: 0x1f", "a: 1e3", "a: 1.5", "a: 1_000", "a: -1", "a: +1", "a: .5", "a: 12:30", "a: 2026-01-01",
		"a: null", "a: Null", "a: ~", "a: True", "a: FALSE", "a: -", "a: - b", "a: ? b", "a: @b", "a:b", "\ufeffa: b", "a: \x00", "a: 2026-03-01T02:00:00+01:00", "a: 2026-99-01T02:00:00Z",
	} {
		root := scan([]byte(text))
		if root != nil && !reflect.DeepEqual(root, nodes(t, []byte(text))) {
			t.Errorf("%q is read as something else", text)
		}
		if root != nil && text != "- a" {
			t.Errorf("%q is read", text)
		}
	}
}

// Values have the types that the library gives them.
func TestScanValues(t *testing.T) {
	more := []string{"true", "false", "12", "0", "999999999999999999", "9999999999999999999", "300ms", "1h0m1s", "10s", "1e5s", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00.125Z", "0001-01-01T00:00:00Z",
		"10.0.0.1/24", "1.2.3.4", "1.2.3", "1.2.3.4.5", "0.0.0.0/0", "...1", "1...2", "y", "n", "yes", "no", "on", "off", "nullify", "none", "1t", "2z", "4e", "7Z", "1E", "0b", "0k", "/opt/x", "/", "a/b", "a-", "a@b", "a{b}", "a,b", "a=b", "a+b", "a_b"}
	for _, text := range append(more, texts...) {
		for _, doc := range []string{"a: " + text, "a:\n  - " + text, "a:\n  - b: " + text + "\n    c: d"} {
			if root := scan([]byte(doc)); root != nil {
				if want := nodes(t, []byte(doc)); !reflect.DeepEqual(root, want) {
					t.Errorf("%q: got %+v, want %+v", doc, root.Content[1], want.Content[1])
				}
			}
		}
	}
}

// FuzzScan holds that whatever the scanner reads the library reads too, as the
// same nodes at the same places.
func FuzzScan(f *testing.F) {
	for _, text := range []string{twoLIMs, full, "a:\n  - b\n  - c: d\n    e:\n      f: g\n", "a: b\n# c\nd:\n    e: 1\n"} {
		f.Add([]byte(text))
	}
	for _, text := range texts {
		f.Add([]byte("a:\n  - b: " + text + "\n"))
	}
	addDocuments(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if notText(data) != nil {
			return // Parse does not hand it on
		}
		if root := scan(data); root != nil && !reflect.DeepEqual(root, nodes(t, data)) {
			t.Error("read as something else")
		}
	})
}
