// Package xdata keeps the data versions of LIMs: complete copies of a LIM's data, each in a folder
// of its own, made by [Store.Backup] or by programs of the Service Node, and copied between a
// regular server and its standby by [Sync] and [Serve] (spec ch. 7).
//
// A version never changes once it is visible. It is assembled in a staging folder, made durable,
// and renamed; an interrupted operation leaves nothing visible.
package xdata

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// Version is one data version of one LIM.
type Version struct {
	LIM         int        `json:"lim"`
	Name        string     `json:"name"` // xdata_<LIM>_<YYYYMMDDhhmmss>
	Path        string     `json:"path"`
	Stamp       time.Time  `json:"stamp"`       // of the name, read as UTC
	NewestMtime time.Time  `json:"newestMtime"` // newest modification time of its files as far as known; UTC
	Files       int        `json:"files"`
	Bytes       int64      `json:"bytes"`    // sum of the files' sizes
	Complete    bool       `json:"complete"` // false while a program may still be writing it, and for a damaged one
	Verified    *time.Time `json:"verified"` // last verification of its content; nil: never

	// MadeAt and Parent are set for versions made by Backup: the time by this server's clock, and
	// the version that it follows; nil for a first one.
	MadeAt *time.Time `json:"madeAt"`
	Parent *string    `json:"parent"`

	// WritingUntil is when it becomes complete if nothing in it changes before; nil: it is
	// complete, or will not become so.
	WritingUntil *time.Time `json:"writingUntil,omitempty"`

	// Damage is what is wrong with it, found by Verify or visible without reading; "": nothing. A
	// damaged version is not copied or run on.
	Damage string `json:"damage,omitempty"`
	// Reason is the reason given when it was made; "": none.
	Reason string `json:"reason,omitempty"`

	// Reused tells that Backup returned an existing version with the same content.
	Reused bool `json:"-"`

	known
}

// known is what the store itself knows of a version.
type known struct {
	line       lineage.Version
	record     *manifest.Record // its record; nil: none
	foreign    bool             // made here by another program, which may change it
	from       string           // see mark.From
	content    int64            // of its bytes, without holes
	newestFile string           // path of the file with NewestMtime
	noFolder   bool             // something that is no folder has a version's name
}

// stampLayout is the format of the time in a version's name.
const stampLayout = "20060102150405"

// maxLIMDigits bounds the LIM number in a name.
const maxLIMDigits = 9

// versionName returns the name of a LIM's version made at a time.
func versionName(lim int, stamp time.Time) string {
	return fmt.Sprintf("xdata_%d_%s", lim, stamp.UTC().Format(stampLayout))
}

// parseName parses a version's name; ok is false for other names.
func parseName(name string) (lim int, stamp time.Time, ok bool) {
	rest, ours := strings.CutPrefix(name, "xdata_")
	number, text, _ := strings.Cut(rest, "_")
	// time.Parse accepts fractions: the lengths exclude these, signs and leading zeros.
	if !ours || number == "" || number[0] < '1' || number[0] > '9' || len(number) > maxLIMDigits || len(text) != len(stampLayout) {
		return 0, time.Time{}, false
	}
	lim, err := strconv.Atoi(number)
	if err != nil {
		return 0, time.Time{}, false
	}
	stamp, err = time.Parse(stampLayout, text)
	return lim, stamp, err == nil
}
