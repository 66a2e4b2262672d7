package clusterconf

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"mxcluster/internal/fault"
)

// maxRevision is the largest whole number that every reader of JSON keeps.
const maxRevision = 1 << 53

// maxText is the size limit in bytes of a text of people's, e.g. a reason.
const maxText = 1024

const nameHint = "use letters, digits, '-', '.' and '_', at most 63, a letter or digit first"

// validName tells whether a name can stand in commands, file names and
// gossip messages without quoting.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letterOrDigit := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letterOrDigit && (i == 0 || !strings.ContainsRune("-._", rune(c))) {
			return false
		}
	}
	return s != "" && len(s) <= MaxName
}

// CheckClusterName returns an error with code fault.Usage for a name that no
// cluster can have.
func CheckClusterName(name string) error {
	if !validName(name) {
		return fault.New(fault.Usage, nameHint, "cluster name %q is not valid", name)
	}
	return nil
}

// printable tells whether s is one line of text that shows as it is.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsPrint(r)
	})
}

// oneLine tells whether s can be kept as a text of a change or a lock.
func oneLine(s string) bool { return printable(s) && len(s) <= maxText }

func checkRevision(d *Document, report reportFunc) {
	if d.Revision < 1 || d.Revision > maxRevision {
		report("revision", "copy the document from another server, or take the newest one of the history folder",
			"revision must be from 1 to %d", uint64(maxRevision))
	}
}

func checkSystem(d *Document, report reportFunc) {
	if !validName(d.System) {
		report("system", nameHint, "system identity %q is not valid", d.System)
	}
}

// checkLineage: what a document says of where it comes from is written by the store.
func checkLineage(d *Document, report reportFunc) {
	if d.Epoch > maxRevision {
		report("epoch", "take the line out, or copy the document from another server", "epoch must be at most %d", uint64(maxRevision))
	}
	if d.Editor != "" && !validName(d.Editor) {
		report("editor", nameHint, "editor %q is no server's name", d.Editor)
	}
	if len(d.Ancestors) > maxAncestors {
		report("ancestors", "take the list out", "there are %d ancestors, a document keeps %d", len(d.Ancestors), maxAncestors)
		return
	}
	for i, mark := range d.Ancestors {
		if _, ok := markedRevision(mark); !ok {
			report(at("ancestors", i), "take the list out", "%q is no mark of a document", mark)
		}
	}
}

func checkChangeText(d *Document, report reportFunc) {
	for _, t := range []struct{ key, text string }{
		{"by", d.Changed.By}, {"server", d.Changed.On}, {"command", d.Changed.Command}, {"reason", d.Changed.Reason},
	} {
		if !oneLine(t.text) {
			report("changed."+t.key, "use one line without control characters",
				"the change's %s must be one line of at most %d bytes", t.key, maxText)
		}
	}
}
