package clusterconf

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mxcluster/internal/fault"
)

// handEdits are faults that people make when they edit the document with an
// editor. In the new text « stands before the character that the message must
// point at.
var handEdits = []struct {
	name     string
	old, new string
	rule     string
	message  string
	hint     string
}{
	// What is no YAML any more.
	{"one space too few", "    base: 10.0.0.21/24", "   «base: 10.0.0.21/24", "syntax", "not valid YAML", "indentation"},
	{"one space too many", "    base: 10.0.0.21/24", "     «base: 10.0.0.21/24", "syntax", "not valid YAML", "indentation"},
	{"tab for spaces", "    base: 10.0.0.21/24", "«\tbase: 10.0.0.21/24", "syntax", "not valid YAML", "indentation"},
	{"no space after the hyphen", "  - name: srv1", "  -«name: srv1", "syntax", "not valid YAML", ""},
	{"no hyphen", "  - name: srv2\n", "  «name: srv2\n", "syntax", "not valid YAML", ""},
	{"quote not closed", "by: root", `by: «"root`, "syntax", "not valid YAML", "quotes"},
	{"quote closed too early", "reason: growth", `reason: "more" «growth`, "syntax", "not valid YAML", "quotes"},
	{"bracket not closed", "  - lim: 1\n    services:", "  - lim: 1\n    services: «[", "syntax", "not valid YAML", "brackets"},
	{"bracket too many", "system: 5k2j9x", "system: «]", "syntax", "not valid YAML", "brackets"},
	{"colon in a text", "reason: growth", "reason: growth«: two more", "syntax", "not valid YAML", "quotes"},
	{"no colon", "    interface: eth1", "    «interface eth1", "syntax", "not valid YAML", ""},
	{"reserved character", "by: root", "by: «@root", "syntax", "not valid YAML", "quotes"},
	{"merge conflict left in", "  - name: srv2\n", "«<<<<<<< mine\n  - name: srv2\n", "syntax", "not valid YAML", ""},
	{"control character", "by: root", "by: r«\x07oot", "text", "byte 0x07 is not text", "remove it"},
	{"Latin-1", "by: ann", "by: J«\xfcrg", "text", "byte 0xfc is not text", "remove it"},
	{"second document", "clusters:\n", "«---\nclusters:\n", "single-document", "a second YAML document begins here", "one document"},
	// Keys.
	{"key mistyped", "    splitBrainStop:", "    «splitBrainstop:", "unknown-key", `unknown key "splitBrainstop"`, "did you mean splitBrainStop?"},
	{"required key mistyped", "    interface: eth1", "    «interfac: eth1", "unknown-key", `unknown key "interfac"`, "did you mean interface?"},
	{"key of the lock mistyped", "          expires:", "          «expire:", "unknown-key", `unknown key "expire"`, "did you mean expires?"},
	{"key in the wrong place", "    interface: eth1\n", "    interface: eth1\n    «priority: 5\n", "unknown-key", `unknown key "priority"`, "known here: name"},
	{"key twice", "        priority: 0\n", "        priority: 0\n        «priority: 1\n", "duplicate-key", "priority was given before, on line 67", "keep one"},
	{"key left out", "  - name: srv2\n    base: 10.0.0.22/24\n", "  - «name: srv2\n", "missing-key", "base is missing", "add base"},
	// Values of the wrong kind.
	{"number for text", "system: 5k2j9x", "system: «17", "type", `system must be text, not "17"`, `put it in quotes: "17"`},
	{"text for number", "revision: 7", "revision: «seven", "type", "revision must be a whole number", "whole number"},
	{"yes for true", "standby: true", "standby: «yes", "type", "must be true or false", "true or false"},
	{"list left empty", "    gateways:\n      - 1A\n      - 1B\n", "    gateways:«\n", "type", "lims[0].gateways must be a list, not nothing", "write a list"},
	{"one value for a list", "    gateways:\n      - 1A\n      - 1B\n", "    gateways: «1A\n", "type", `lims[0].gateways must be a list, not "1A"`, "write a list"},
	{"address without length", "base: 10.0.0.14/24", "base: «10.0.0.14", "address", `"10.0.0.14" is not an address with prefix length`, "A.B.C.D/LEN"},
	{"address with length", "media: 10.0.0.11", "media: «10.0.0.11/24", "address", `"10.0.0.11/24" is not an address`, "A.B.C.D"},
	{"duration without unit", "failoverAfter: 300ms", "failoverAfter: «300", "duration", `"300" is not a duration`, "300ms"},
	{"time without zone", "expires: 2026-03-01T04:00:00Z", "expires: «2026-03-01 04:00", "time", `"2026-03-01 04:00" is not a time`, "2026-03-01T02:00:00Z"},
	{"version of the format", "mxcluster/v1", "«mxcluster/v2", "format", `apiVersion is "mxcluster/v2"`, "mxcluster/v1"},
	// Values that break a rule.
	{"choice mistyped", "fallback: manual", "fallback: «automtic", "choice", `fallback must be manual or automatic, not "automtic"`, "write manual or automatic"},
	{"lock to no side", "to: regular", "to: «srv1", "choice", `to must be regular or standby, not "srv1"`, ""},
	{"name with a space", "name: free1", "name: «free 1", "server-name", `server name "free 1" is not valid`, "use letters"},
	{"name twice", "name: srv2", "name: «srv1", "server-once", "there are two servers named srv1", "name of its own"},
	{"LIM twice", "    lim: 2\n", "    lim: «1\n", "lim-one-server", "LIM 1 is on srv1 and on srv2", "of its own"},
	{"LIM number", "  - lim: 2\n    mediaServer", "  - lim: «2000\n    mediaServer", "lim-number", "LIM number 2000 is not from 1 to 999", ""},
	{"address twice", "alias: 10.0.0.12/24", "alias: «10.0.0.22/24", "address-once", "10.0.0.22 is the base of srv2 and the alias of LIM 2", "its own address"},
	{"network address", "alias: 10.0.0.12/24", "alias: «10.0.0.0/24", "address", "is the network address of its subnet", "address of a host"},
	{"another subnet", "alias: 10.0.0.12/24", "alias: «10.0.1.12/24", "same-subnet", "the alias of LIM 2, 10.0.1.12/24, is not in 10.0.0.0/24", "one subnet"},
	{"another prefix length", "base: 10.0.0.22/24", "base: «10.0.0.22/25", "same-subnet", "the base of srv2, 10.0.0.22/25, is not in 10.0.0.0/24", "one prefix length"},
	{"standby mistyped", "    standby: sb1", "    standby: «sb2", "standby", `the standby of cluster c1, "sb2", is not a server`, "did you mean sb1?"},
	{"standby that is none", "    standby: sb1", "    standby: «free1", "standby", "free1 cannot be the standby of cluster c1: it is a free server", "mxcluster server to-standby free1"},
	{"LIM that is on no server", "      - lim: 2\n", "      - lim: «3\n", "member-server", "LIM 3 of cluster c1 is on no server", "give the LIM to a server"},
	{"failover too early", "failoverAfter: 300ms", "failoverAfter: «30ms", "failover-after", "failoverAfter of cluster c1 is 30ms, the least is 100ms", "100ms or more"},
	{"priority below zero", "priority: 100", "priority: «-1", "priority", "the priority of LIM 1 is -1", "0 or more"},
	{"preloaded with two LIMs", "failover: normal", "failover: «preloaded", "preloaded", "cluster c1 is preloaded and has 2 LIMs", "of their own"},
	{"service", "run: exec:/opt", "run: «exec:opt", "service", `"exec:opt/lim/service" is not a service`, ServiceSyntax},
	{"media server beside the alias", "control: 10.0.0.11", "control: «10.0.0.21", "media-server-alias", "is 10.0.0.21, not the LIM's alias 10.0.0.11", "write 10.0.0.11"},
	{"media server on a cluster's server", "media: 10.0.9.1", "media: «10.0.0.14", "media-server-apart", "10.0.0.14, is the base of free1", "own machine"},
	{"gateway twice", "      - 1B", "      - «1A", "gateway", "gateway 1A of LIM 1 is given twice", "once"},
	{"lock over before it begins", "expires: 2026-03-01T04", "expires: «2026-03-01T01", "lock-time", "the lock of LIM 1 expires at 2026-03-01T01:00:00Z, before it begins", "later time"},
}

// A hand-edited document that is wrong gives a message that points at the line
// and the column, says what is wrong, and names the remedy.
func TestHandEdits(t *testing.T) {
	if len(handEdits) < 40 {
		t.Errorf("only %d faults", len(handEdits))
	}
	mustParse(t, full)
	for _, test := range handEdits {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(full, test.old, test.new, 1)
			before, after, ok := strings.Cut(text, "«")
			if !ok {
				t.Fatalf("%q is not in the fixture", test.old)
			}
			line := 1 + strings.Count(before, "\n")
			column := 1 + utf8.RuneCountInString(before[1+strings.LastIndexByte(before, '\n'):])
			_, err := Parse("cluster.yaml", []byte(before+after))
			wantFault(t, err, fault.Invalid, test.message, test.hint)
			v := violationsOf(t, err)[0]
			if v.Line != line || v.Column != column {
				t.Errorf("points at %d:%d, want %d:%d: %s", v.Line, v.Column, line, column, v.Message)
			}
			if v.Rule != test.rule {
				t.Errorf("rule %s, want %s", v.Rule, test.rule)
			}
		})
	}
}
