// Package wire is the protocol between the two sides of a sync: frames, messages, batches and
// keepalives. Everything that a peer sends is checked against bounds before memory is allocated for
// it.
package wire

import (
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// FrameType is the type of a frame. A frame is one message of the protocol: its type, the payload's
// length in four bytes, big-endian, and the payload. A type's number is never used for another
// meaning. Each type has a bound for its payload, checked before memory is allocated.
type FrameType uint8

// The types of frames.
const (
	FrameGreeting FrameType = 1  // server: Greeting
	FrameClock    FrameType = 2  // client: nothing; server: clock
	FrameOpen     FrameType = 3  // client: OpenRequest; server: Summary
	FrameDigest   FrameType = 4  // client: nothing; server: digest of its newest version
	FramePull     FrameType = 5  // client: nothing; a version follows
	FramePush     FrameType = 6  // client: nothing; a version follows
	FrameHead     FrameType = 7  // sender: VersionHead
	FrameHave     FrameType = 8  // receiver: IDs of chunks that it has; an empty frame ends the list
	FrameBatch    FrameType = 9  // sender: batch
	FrameEnd      FrameType = 10 // sender: digest of all of it
	FrameWant     FrameType = 11 // receiver: the files that it needs again; empty when all is well
	FrameDone     FrameType = 12 // server: the version is visible, or the answer to a goodbye
	FrameError    FrameType = 13 // either: peerError; nothing follows
	FrameBye      FrameType = 14 // client: ends a successful sync
	FrameSame     FrameType = 15 // receiver: its list begins with the one that VersionHead names
	FrameContent  FrameType = 16 // sender: incompressible content of the previous batch
	frameAlive    FrameType = 17 // either, between other frames: keepalive
	FrameConflict FrameType = 18 // client: its newest version, in conflict with the server's; server: done
	FrameKeep     FrameType = 19 // client: the same; the server makes a version that follows both, and answers with its Summary
	lastFrame               = FrameKeep
)

// Bounds of payloads.
const (
	maxControl  = 64 << 10  // bytes of a message's payload
	MaxPayload  = 256 << 10 // bytes of IDs in a frame, and of steps in a batch
	maxBatch    = chunk.MaxSize + MaxPayload + manifest.MaxXattrs + 1<<10
	maxHead     = maxControl + 2*manifest.MaxXattrs // attributes are base64 in it
	frameHeader = 5
)

// limit returns the most bytes in a payload of the type.
func (t FrameType) limit() uint32 {
	switch t {
	case FrameBatch:
		return maxBatch
	case FrameHead:
		return maxHead
	case FrameHave:
		return MaxPayload
	case FrameContent:
		return chunk.MaxSize
	case frameAlive:
		return 0
	}
	return maxControl
}
