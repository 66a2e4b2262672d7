// Package xdata keeps the data versions of LIMs: complete copies of a LIM's
// data, each in a folder of its own, made by [Store.Backup] or by the exchange's
// own programs, and carried between a regular server and its standby by [Sync]
// and [Serve] (spec ch. 7).
//
// A version is never changed once it is visible. It is put together in a staging
// folder, made durable, and renamed; what is interrupted leaves nothing visible.
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
	NewestMtime time.Time  `json:"newestMtime"` // newest modification time of its files, as far as is known; UTC
	Files       int        `json:"files"`
	Bytes       int64      `json:"bytes"`    // sum of the files' sizes
	Complete    bool       `json:"complete"` // false while a program may still be writing it, and of a damaged one
	Verified    *time.Time `json:"verified"` // when its content was last checked against its hash; nil: never

	// MadeAt and Parent are known of versions that Backup made: when by this server's
	// clock, and which version it follows; nil for a first one.
	MadeAt *time.Time `json:"madeAt"`
	Parent *string    `json:"parent"`

	// WritingUntil is when it counts as complete if nothing changes in it before; nil: it is
	// complete, or nothing is waited for.
	WritingUntil *time.Time `json:"writingUntil,omitempty"`

	// Damage says what is wrong with it, as Verify found or as is seen without reading
	// it; "": nothing. A damaged version is neither copied nor run on.
	Damage string `json:"damage,omitempty"`
	// Reason is what was said when it was made; "": nothing.
	Reason string `json:"reason,omitempty"`

	// Reused tells that Backup made none: this version has the same content.
	Reused bool `json:"-"`

	known
}

// known is what the store knows of a version for its own use.
type known struct {
	line       lineage.Version
	record     *manifest.Record // what it says of itself; nil: nothing
	foreign    bool             // another program made it here, and may change it
	from       string           // see mark
	content    int64            // of its bytes; the rest are holes, which take no room
	newestFile string           // the path of the file that NewestMtime is of
	noFolder   bool             // something else has a version's name
}

// stampLayout is the time in a version's name, without fractions or a zone.
const stampLayout = "20060102150405"

// maxLIMDigits keeps what a name says in the range of a number.
const maxLIMDigits = 9

// versionName returns the name of a LIM's version made at a time.
func versionName(lim int, stamp time.Time) string {
	return fmt.Sprintf("xdata_%d_%s", lim, stamp.UTC().Format(stampLayout))
}

// parseName returns what a version's name says; ok is false for other names.
func parseName(name string) (lim int, stamp time.Time, ok bool) {
	rest, ours := strings.CutPrefix(name, "xdata_")
	number, text, _ := strings.Cut(rest, "_")
	// Neither a sign nor a leading zero, nor the fraction that time.Parse allows.
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
