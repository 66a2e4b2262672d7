package wire

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// protocolMagic and protocolVersion open every connection. A change that an
// older peer would misunderstand raises the version.
const (
	ProtocolMagic   = "mxcluster-xdata"
	ProtocolVersion = 7
)

// Greeting is the server's first message.
type Greeting struct {
	Magic   string `json:"magic"`
	Version int    `json:"version"`
	Sign    string `json:"sign"` // name of a file in its folder of versions; "": there is none
	Opened
}

// Opened is what the login by which a [Serve] was started opens there.
type Opened struct {
	For    string `json:"for,omitempty"`    // the server whose LIMs it is for; "": it is not bound to one
	Orders bool   `json:"orders,omitempty"` // syncs of the other LIMs may be ordered, too
}

// Clock is the server's answer to frameClock, sent at once.
type Clock struct {
	Now time.Time `json:"now"`
}

// OpenRequest names the LIM that the connection is about.
type OpenRequest struct {
	LIM  int              `json:"lim"`
	Side clusterconf.Side `json:"side"` // of the server that is asked
}

// Summary describes the newest complete version of a side, enough to choose a
// direction by.
type Summary struct {
	Name    string   `json:"name"`  // "" when there is none
	Mtime   int64    `json:"mtime"` // newest modification time, nanoseconds since 1970
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
	Writing *Writing `json:"writing,omitempty"` // a version there that is still being written; nil: none
	Damaged bool     `json:"damaged"`           // a version there is damaged
	Digest  []byte   `json:"digest"`            // of its content; nil: not known without reading it

	Line    lineage.Version `json:"line"`              // what it says of itself
	Foreign bool            `json:"foreign,omitempty"` // another program made it there, and may have changed it
	From    string          `json:"from,omitempty"`    // other program's version on the other side that it was copied from

	Fits   *lineage.Version `json:"fits,omitempty"`   // see bye
	Future *FutureVersion   `json:"future,omitempty"` // one that is newer, but not to be copied; nil: none
}

// FutureVersion describes a version with a file from the future.
type FutureVersion struct {
	Line  lineage.Version `json:"line"`
	Local string          `json:"local"` // its name on its side
	File  string          `json:"file"`
	Mtime int64           `json:"mtime"`
}

// Valid makes sure that a peer's summary is one.
func (s *Summary) Valid() error {
	err := s.Line.Valid()
	if s.Fits != nil {
		err = cmp.Or(err, s.Fits.Valid())
	}
	if s.Future != nil {
		err = cmp.Or(err, s.Future.Line.Valid())
	}
	if err != nil {
		return manifest.Violation("%v", err)
	}
	return nil
}

// Line is a version's word of itself, alone.
type Line struct {
	Line lineage.Version `json:"line"`
}

// Bye ends a sync that went well.
type Bye struct {
	Whole *lineage.Version `json:"whole,omitempty"` // that both sides have now; nil: there is none
	Fits  *lineage.Version `json:"fits,omitempty"`  // what is older does not fit the cluster document; nil: all does, or that is not known
	Dry   bool             `json:"dry,omitempty"`   // nothing was copied, nor is anything to be removed: say what would be
}

// VersionHead opens a version that follows.
type VersionHead struct {
	Name    string              `json:"name"`
	Mtime   int64               `json:"mtime"`
	Entries int                 `json:"entries"`           // files and folders
	Bytes   int64               `json:"bytes"`             // sum of the files' sizes
	Foreign bool                `json:"foreign,omitempty"` // another program made it there, and may have changed it
	Content int64               `json:"content"`           // of bytes, as far as is known; the rest are holes
	Top     manifest.Attributes `json:"top"`               // of the version's own folder
	Known   []byte              `json:"known"`             // digest of a list of chunks that the sender has; nil: of none
	Record  *manifest.Record    `json:"record"`            // what it says of itself; nil: nothing
}

// DigestMessage carries a manifest's digest.
type DigestMessage struct {
	Digest []byte `json:"digest"`
}

// Want names files that arrived, or were put together, other than they should be.
type Want struct {
	Files []int `json:"files"` // places in the list of files and folders
}

// Done tells the sender under which name its version became visible, or, at the end, what
// the other side could not do and goes on without.
type Done struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"` // what could not be kept of it

	Aside    string   `json:"aside,omitempty"`   // after goodbye: where a version lies that was set aside
	Removes  []string `json:"removes,omitempty"` // after the goodbye of a dry run: what would be removed
	Warnings []string `json:"warnings,omitempty"`
}

// peerError is an error as it crosses the wire.
type peerError struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

// DecodeJSON reads a control message.
func DecodeJSON(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return manifest.Violation("a message that cannot be read")
	}
	return nil
}

// EncodeError prepares an error for the wire.
func EncodeError(err error) peerError {
	return peerError{Code: fault.CodeOf(err), Message: fault.Plain(err.Error()), Hint: fault.Plain(fault.HintOf(err))}
}

// DecodeError makes an error of what a peer sent. Its text is shown on a
// terminal, so nothing but plain text is let through.
func DecodeError(payload []byte) error {
	var p peerError
	if err := DecodeJSON(payload, &p); err != nil {
		return err
	}
	switch p.Code {
	case fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid:
	default:
		p.Code = fault.Failed
	}
	return fault.New(p.Code, fault.Plain(p.Hint), "the other side says: %s", fault.Plain(p.Message))
}

// Announced is what the list of entries that follows is held against.
func (h VersionHead) Announced() manifest.Announced {
	return manifest.Announced{Entries: h.Entries, Bytes: h.Bytes, Mtime: h.Mtime}
}

// String describes the version announced, for messages.
func (h VersionHead) String() string {
	return fmt.Sprintf("%s (%d files and folders, %d bytes)", h.Name, h.Entries, h.Bytes)
}

// Is takes the content for what it is. One that is not what the version says is another
// one's lineage.
func (s *Summary) Is(content []byte) {
	text := hex.EncodeToString(content)
	if s.Line.Made && s.Line.Node.Content != text {
		s.Line = lineage.Version{Node: lineage.Node{Name: s.Name}, Time: s.Mtime}
	}
	s.Line.Node.Content = text
}

// Writing is a version that another program may still be writing.
type Writing struct {
	Version string           `json:"version"`
	Side    clusterconf.Side `json:"side,omitempty"`
	Until   time.Time        `json:"until"` // it counts as complete then, if nothing changes in it before
}
