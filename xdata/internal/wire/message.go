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

// ProtocolMagic starts every connection.
const ProtocolMagic = "mxcluster-xdata"

// Greeting is the server's first message.
type Greeting struct {
	Magic   string `json:"magic"`
	Version int    `json:"version"`          // the oldest of the protocol that it speaks: all that peers look at which do not negotiate
	Newest  int    `json:"newest,omitempty"` // the newest that it speaks; 0: Version alone
	Sign    string `json:"sign"`             // name of the sign file in its folder of versions; "": there is none
	Access
}

// Access is what the login that started the server may do.
type Access struct {
	For    string `json:"for,omitempty"`    // the server that the login's key is for, whose LIMs it opens; "": all LIMs
	Orders bool   `json:"orders,omitempty"` // it may order syncs of other LIMs, too
}

// Clock is the server's answer to FrameClock, sent at once.
type Clock struct {
	Now time.Time `json:"now"`
}

// OpenRequest names the LIM that a connection is for.
type OpenRequest struct {
	LIM      int              `json:"lim"`
	Side     clusterconf.Side `json:"side"`               // of the server
	Protocol int              `json:"protocol,omitempty"` // version of the protocol that is spoken from here on; 0: the oldest of the greeting
}

// Summary describes the newest complete version of a side, for choosing a direction.
type Summary struct {
	Name    string   `json:"name"`  // "": there is none
	Mtime   int64    `json:"mtime"` // newest modification time, nanoseconds since 1970
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
	Writing *Writing `json:"writing,omitempty"` // a version that is still being written; nil: none
	Damaged bool     `json:"damaged"`           // some version is damaged
	Digest  []byte   `json:"digest"`            // of the content; nil: not known without reading it

	Line    lineage.Version `json:"line"`              // its lineage
	Foreign bool            `json:"foreign,omitempty"` // made there by another program, which may have changed it
	From    string          `json:"from,omitempty"`    // name of the other side's version that it is a copy of; "": none

	OldestCompatible *lineage.Version `json:"fits,omitempty"`   // see Bye
	Future           *FutureVersion   `json:"future,omitempty"` // a newer version with a file from the future, which is not copied; nil: none
}

// FutureVersion describes a version with a file from the future.
type FutureVersion struct {
	Line  lineage.Version `json:"line"`
	Local string          `json:"local"` // its name on its side
	File  string          `json:"file"`
	Mtime int64           `json:"mtime"`
}

// Valid checks a summary that a peer sent.
func (s *Summary) Valid() error {
	err := s.Line.Valid()
	if s.OldestCompatible != nil {
		err = cmp.Or(err, s.OldestCompatible.Valid())
	}
	if s.Future != nil {
		err = cmp.Or(err, s.Future.Line.Valid())
	}
	if err != nil {
		return manifest.Violation("%v", err)
	}
	return nil
}

// Line carries the lineage of a version.
type Line struct {
	Line lineage.Version `json:"line"`
}

// Bye ends a successful sync.
type Bye struct {
	Common           *lineage.Version `json:"whole,omitempty"` // the version that both sides have; nil: none
	OldestCompatible *lineage.Version `json:"fits,omitempty"`  // older versions are incompatible with the cluster document; nil: none is, or not known
	Dry              bool             `json:"dry,omitempty"`   // dry run: the answer says what would be removed
}

// VersionHead announces a version that follows.
type VersionHead struct {
	Name    string              `json:"name"`
	Mtime   int64               `json:"mtime"`
	Entries int                 `json:"entries"`           // files and folders
	Bytes   int64               `json:"bytes"`             // sum of the files' sizes
	Foreign bool                `json:"foreign,omitempty"` // made there by another program, which may have changed it
	Content int64               `json:"content"`           // of Bytes, without holes, as far as known
	Top     manifest.Attributes `json:"top"`               // of the version's own folder
	Known   []byte              `json:"known"`             // digest of the sender's list of chunks; nil: none
	Record  *manifest.Record    `json:"record"`            // the version's record; nil: none
}

// DigestMessage carries the digest of a version.
type DigestMessage struct {
	Digest []byte `json:"digest"`
}

// Want lists files with wrong content, to be sent again.
type Want struct {
	Files []int `json:"files"` // indexes in the list of entries
}

// Done is the server's report: after a push, the name under which the version became visible; at
// the end of a sync, what it could not do.
type Done struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"` // attributes that could not be kept

	Aside    string   `json:"aside,omitempty"`   // after a goodbye: the folder of a version that was set aside
	Removes  []string `json:"removes,omitempty"` // after the goodbye of a dry run: the versions to remove
	Warnings []string `json:"warnings,omitempty"`
}

// peerError is an error on the wire.
type peerError struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

// DecodeJSON decodes a message.
func DecodeJSON(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return manifest.Violation("a message that cannot be read")
	}
	return nil
}

// EncodeError converts an error for the wire.
func EncodeError(err error) peerError {
	return peerError{Code: fault.CodeOf(err), Message: fault.Plain(err.Error()), Hint: fault.Plain(fault.HintOf(err))}
}

// DecodeError returns an error that a peer sent. It is shown on a terminal, so control characters
// are removed.
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

// Announced returns what the following list of entries is checked against.
func (h VersionHead) Announced() manifest.Announced {
	return manifest.Announced{Entries: h.Entries, Bytes: h.Bytes, Mtime: h.Mtime}
}

// String describes the announced version, for messages.
func (h VersionHead) String() string {
	return fmt.Sprintf("%s (%d files and folders, %d bytes)", h.Name, h.Entries, h.Bytes)
}

// SetContent completes the lineage by the content, once that is known. Content other than recorded
// discards the lineage.
func (s *Summary) SetContent(content []byte) {
	text := hex.EncodeToString(content)
	if s.Line.Made && s.Line.Node.Content != text {
		s.Line = lineage.Version{Node: lineage.Node{Name: s.Name}, Time: s.Mtime}
	}
	s.Line.Node.Content = text
}

// Writing is a version that another program may still be writing to.
type Writing struct {
	Version string           `json:"version"`
	Side    clusterconf.Side `json:"side,omitempty"`
	Until   time.Time        `json:"until"` // when it becomes complete if nothing changes before
}
