package clusterconf

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestParseReadsEveryKey(t *testing.T) {
	want := &Document{
		APIVersion: APIVersion, Kind: Kind, System: "5k2j9x", Revision: 7,
		Changed: Change{At: time.Date(2026, 3, 1, 2, 0, 0, 125e6, time.UTC), By: "root", On: "srv1", Command: "mxcluster create c1"},
		Servers: []Server{
			{Name: "free1", Base: prefix("10.0.0.14/24"), Interface: "eth0"},
			{Name: "sb1", Base: prefix("10.0.0.13/24"), Interface: "eth0", Standby: true},
			{Name: "srv1", Base: prefix("10.0.0.21/24"), Interface: "eth0", LIM: 1},
			{Name: "srv2", Base: prefix("10.0.0.22/24"), Interface: "eth1", LIM: 2},
		},
		LIMs: []LIM{{Number: 1, Services: []Service{
			{Run: "exec:/opt/lim/service"}, {Run: "systemd:manager.service", RegularOnly: true},
		}}},
		Clusters: []Cluster{{
			Name: "c1", Standby: "sb1", Fallback: FallbackManual, Failover: FailoverNormal,
			FailoverAfter: Duration(300 * time.Millisecond), SplitBrainStop: SideRegular,
			LIMs: []Member{{LIM: 1, Alias: prefix("10.0.0.11/24"), Priority: 100}, {LIM: 2, Alias: prefix("10.0.0.12/24"), Priority: 0}},
		}},
	}
	if got := mustParse(t, twoLIMs); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// What may be left out is read where it is there.
func TestParseReadsOptionalParts(t *testing.T) {
	d := mustParse(t, full)
	expires := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	wantLock := &Lock{To: SideRegular, Since: time.Date(2026, 3, 1, 2, 0, 0, 5e8, time.UTC), By: "ann", Reason: "reboot", Expires: &expires}
	if got := d.Cluster("c1").Member(1).Lock; !reflect.DeepEqual(got, wantLock) {
		t.Errorf("lock %+v, want %+v", got, wantLock)
	}
	if got := d.Cluster("c1").Member(2).Lock; got != nil {
		t.Errorf("LIM 2 is locked: %+v", got)
	}
	want := []LIM{
		{Number: 1, Services: d.LIMs[0].Services, MediaServer: &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}, Gateways: []string{"1A", "1B"}},
		{Number: 2, MediaServer: &MediaServer{MediaServerStandalone, addr("10.0.9.1"), addr("10.0.9.2"), ""}},
	}
	if !reflect.DeepEqual(d.LIMs, want) {
		t.Errorf("got  %+v\nwant %+v", d.LIMs, want)
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	text := strings.NewReplacer("    fallback: manual\n", "", "    failover: normal\n", "",
		"    failoverAfter: 300ms\n", "", "    splitBrainStop: regular\n", "", "        priority: 100\n", "").Replace(twoLIMs)
	c := mustParse(t, text).Cluster("c1")
	if c.Fallback != FallbackManual || c.Failover != FailoverNormal || c.SplitBrainStop != SideRegular {
		t.Errorf("defaults: %+v", c)
	}
	if got := c.SilenceLimit(); got != DefaultFailoverAfter {
		t.Errorf("silence limit %s", got)
	}
	if got := c.Member(1).Priority; got != DefaultPriority {
		t.Errorf("priority %d", got)
	}
	if got := c.Member(2).Priority; got != 0 {
		t.Errorf("priority 0 became %d", got)
	}
}

// Every mistake is told with its place, its rule and what it is.
func TestParseMistakes(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           []string // line:column rule: message | hint
	}{
		{"unknown key", "    failoverAfter: 300ms", "    failoverafter: 300ms",
			[]string{`37:5 unknown-key: unknown key "failoverafter" | did you mean failoverAfter?`}},
		{"unknown key far from all", "revision: 7", "revision: 7\nzzzzzz: 1",
			[]string{`5:1 unknown-key: unknown key "zzzzzz" | known here: apiVersion, kind, level, system, revision, epoch, changed, editor, servers, lims, clusters, management, ancestors`}},
		{"mistyped required key", "  - name: free1", "  - nmae: free1",
			[]string{`11:5 unknown-key: unknown key "nmae" | did you mean name?`}},
		{"key that is a list", "revision: 7", "revision: 7\n? [a]\n: b",
			[]string{`5:3 unknown-key: unknown key that is not a word | known here: apiVersion, kind, level, system, revision, epoch, changed, editor, servers, lims, clusters, management, ancestors`}},
		{"missing key", "    interface: eth1\n", "",
			[]string{"22:5 missing-key: interface is missing | add interface"}},
		{"duplicate key", "    interface: eth1\n", "    interface: eth1\n    interface: eth2\n",
			[]string{"25:5 duplicate-key: interface was given before, on line 24 | keep one of the two"}},
		{"mapping for list", "servers:\n", "servers:\n  a: b\nx:\n",
			[]string{"11:3 type: servers must be a list, not keys and values | write a list",
				`12:1 unknown-key: unknown key "x" | known here: apiVersion, kind, level, system, revision, epoch, changed, editor, servers, lims, clusters, management, ancestors`}},
		{"list for text", "system: 5k2j9x", "system: [a]",
			[]string{"3:9 type: system must be text, not a list | write text"}},
		{"nothing for list", "lims:\n  - lim: 1\n    services:\n      - run: exec:/opt/lim/service\n      - run: systemd:manager.service\n        regularOnly: true\n", "lims:\n",
			[]string{"26:6 type: lims must be a list, not nothing | write a list"}},
		{"number for text", "system: 5k2j9x", "system: 17",
			[]string{`3:9 type: system must be text, not "17" | put it in quotes: "17"`}},
		{"text for number", "revision: 7", "revision: seven",
			[]string{`4:11 type: revision must be a whole number, not "seven" | write a whole number`}},
		{"negative revision", "revision: 7", "revision: -7",
			[]string{`4:11 revision: revision must be from 1 to 9007199254740992 | copy the document from another server, or take the newest one of the history folder`}},
		{"octal", "priority: 100", "priority: 010",
			[]string{`42:19 type: clusters[0].lims[0].priority must be a whole number, not "010" | write a whole number`}},
		{"text for boolean", "standby: true", "standby: yes",
			[]string{`17:14 type: servers[1].standby must be true or false, not "yes" | write true or false`}},
		{"address without length", "base: 10.0.0.21/24", "base: 10.0.0.21",
			[]string{`19:11 address: "10.0.0.21" is not an address with prefix length | write A.B.C.D/LEN, e.g. 10.0.0.11/24`}},
		{"address that cannot be", "base: 10.0.0.21/24", "base: 10.0.0.256/24",
			[]string{`19:11 address: "10.0.0.256/24" is not an address with prefix length | write A.B.C.D/LEN, e.g. 10.0.0.11/24`}},
		{"duration", "300ms", "300",
			[]string{`37:20 duration: "300" is not a duration | write e.g. 300ms, 10s or 5m`}},
		{"time", "2026-03-01T02:00:00.125Z", "yesterday",
			[]string{`6:7 time: "yesterday" is not a time | write e.g. 2026-03-01T02:00:00Z`}},
		{"choice", "fallback: manual", "fallback: manuel",
			[]string{`35:15 choice: fallback must be manual or automatic, not "manuel" | write manual or automatic`}},
		{"apiVersion", "mxcluster/v1", "mxcluster/v2",
			[]string{`1:13 format: apiVersion is "mxcluster/v2" | this version of mxcluster reads mxcluster/v1`}},
		{"empty apiVersion", "mxcluster/v1", `""`,
			[]string{`1:13 format: apiVersion is "" | this version of mxcluster reads mxcluster/v1`}},
		{"kind", "ClusterDocument", "Pod",
			[]string{`2:7 format: kind is "Pod" | this version of mxcluster reads ClusterDocument`}},
		{"anchor", "alias: 10.0.0.11/24", "alias: &a 10.0.0.11/24",
			[]string{"41:16 anchor: YAML anchors are not allowed | remove &a"}},
		{"alias", "interface: eth0\n    lim: 1", "interface: &a eth0\n    lim: *a",
			[]string{"20:16 anchor: YAML anchors are not allowed | remove &a", "21:10 anchor: YAML aliases are not allowed | write the value out"}},
		{"tag", "system: 5k2j9x", "system: !!str 5k2j9x",
			[]string{"3:9 tag: YAML tags are not allowed | remove !!str"}},
		{"merge key", "revision: 7", "revision: 7\n<<: {a: b}",
			[]string{`5:1 unknown-key: unknown key "<<" | known here: apiVersion, kind, level, system, revision, epoch, changed, editor, servers, lims, clusters, management, ancestors`}},
		{"second document", "        priority: 0\n", "        priority: 0\n---\na: b\n",
			[]string{"46:1 single-document: a second YAML document begins here | keep one document in the file"}},
		{"syntax of the second document", "        priority: 0\n", "        priority: 0\n---\n[\n",
			[]string{"47:1 syntax: not valid YAML: did not find expected node content | look at the indentation, quotes and brackets there and in the lines below"}},
		{"indentation", "    base: 10.0.0.21/24", "   base: 10.0.0.21/24",
			[]string{"19:4 syntax: not valid YAML: did not find expected '-' indicator | look at the indentation, quotes and brackets there and in the lines below"}},
		{"not UTF-8", "by: root", "by: r\xffoot",
			[]string{"7:8 text: byte 0xff is not text | remove it"}},
		{"control character", "by: root", "by: r\x07oot",
			[]string{"7:8 text: byte 0x07 is not text | remove it"}},
		{"rule broken", "lim: 2\nlims", "lim: 1\nlims",
			[]string{"25:10 lim-one-server: LIM 1 is on srv1 and on srv2 | give every server a LIM of its own",
				"43:14 member-server: LIM 2 of cluster c1 is on no server | give the LIM to a server, or remove it from the cluster"}},
		{"place of a rule about a key that is left out", "failoverAfter: 300ms", "failoverAfter: 99ms",
			[]string{"37:20 failover-after: failoverAfter of cluster c1 is 99ms, the least is 100ms | give 100ms or more"}},
		{"unreadable and broken", "base: 10.0.0.14/24", "base: 10.0.0.14/33\n    lim: 1000",
			[]string{`12:11 address: "10.0.0.14/33" is not an address with prefix length | write A.B.C.D/LEN, e.g. 10.0.0.11/24`,
				"13:10 lim-number: LIM number 1000 is not from 1 to 999 | "}},
		{"unreadable server is not missed elsewhere", "name: srv2", "name: [srv2]",
			[]string{"22:11 type: servers[3].name must be text, not a list | write text"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(twoLIMs, test.old, test.new, 1)
			if text == twoLIMs {
				t.Fatalf("%q is not in the fixture", test.old)
			}
			_, err := Parse("test.yaml", []byte(text))
			if fault.CodeOf(err) != fault.Invalid {
				t.Fatalf("error %v, code %d", err, fault.CodeOf(err))
			}
			var got []string
			for _, v := range violationsOf(t, err) {
				got = append(got, fmt.Sprintf("%d:%d %s: %s | %s", v.Line, v.Column, v.Rule, v.Message, v.Hint))
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}

func TestParseEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# a comment\n", "null\n", "---\n", "~"} {
		_, err := Parse("cluster.yaml", []byte(text))
		wantFault(t, err, fault.Invalid, "cluster.yaml:1:1: the cluster document is empty", "history")
	}
}

func TestParseSizeLimit(t *testing.T) {
	fill := strings.Repeat("#", MaxSize-len(twoLIMs))
	if _, err := Parse("cluster.yaml", []byte(twoLIMs+fill)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err := Parse("cluster.yaml", []byte(twoLIMs+fill+"#"))
	wantFault(t, err, fault.Invalid, "cluster.yaml:1:1: the cluster document has 1048577 bytes, the limit is 1048576", "")
}

// An error is one line, and the remedy is that of the first thing wrong.
func TestParseErrorText(t *testing.T) {
	text := strings.Replace(twoLIMs, "fallback: manual", "fallback: manuel", 1)
	text = strings.Replace(text, "priority: 100", "priority: -1", 1)
	_, err := Parse("/etc/mxcluster/cluster.yaml", []byte(text))
	wantFault(t, err, fault.Invalid,
		`/etc/mxcluster/cluster.yaml:35:15: fallback must be manual or automatic, not "manuel" (and 1 more)`, "write manual or automatic")
	wantPaths := []string{"clusters[0].fallback", "clusters[0].lims[0].priority"}
	for i, v := range violationsOf(t, err) {
		if v.Path != wantPaths[i] {
			t.Errorf("path %q, want %q", v.Path, wantPaths[i])
		}
	}
}

func TestParseBoundsTheReport(t *testing.T) {
	_, err := Parse("f", []byte("servers:\n"+strings.Repeat("  - {}\n", 1000)))
	if got := len(violationsOf(t, err)); got != maxReported {
		t.Errorf("%d violations reported, want %d", got, maxReported)
	}
}

func TestSyntaxViolationWithoutLine(t *testing.T) {
	v := syntaxViolation([]byte("a: ["), fmt.Errorf("something else"))
	if v.Line != 1 || v.Message != "not valid YAML: something else" {
		t.Errorf("%+v", v)
	}
}
