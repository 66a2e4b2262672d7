// Package wire is the protocol between the two sides of a sync: frames, messages, batches,
// and signs of life. What a peer sends is held against bounds before memory is set aside for it.
package wire

import (
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// FrameType is the type of a frame. A frame is one message of the protocol: its type, the payload's length
// as four bytes, the highest first, and the payload. Numbers of types are never
// used for another meaning; what a peer may send is bounded here, before any
// memory is set aside for it.
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
	FrameHave     FrameType = 8  // receiver: IDs of chunks that it has; an empty one ends them
	FrameBatch    FrameType = 9  // sender: batch
	FrameEnd      FrameType = 10 // sender: digest of all of it
	FrameWant     FrameType = 11 // receiver: the files that it needs again; none when all is well
	FrameDone     FrameType = 12 // server: the version is in place, or goodbye
	FrameError    FrameType = 13 // either: peerError; nothing follows
	FrameBye      FrameType = 14 // client: done
	FrameSame     FrameType = 15 // receiver: what it has begins with the list that VersionHead names
	FrameContent  FrameType = 16 // sender: the content beside the batch before
	frameAlive    FrameType = 17 // either, between other frames: a sign of life
	FrameConflict FrameType = 18 // client: its newest version, which and the server's do not follow each other; server: done
	FrameKeep     FrameType = 19 // client: the same; the server makes a version of its own that follows both: summary
	lastFrame               = FrameKeep
)

// Bounds of payloads.
const (
	maxControl  = 64 << 10  // bytes of a message's payload
	MaxPayload  = 256 << 10 // bytes of IDs in a frame, and of a batch's steps
	maxBatch    = chunk.MaxSize + MaxPayload + manifest.MaxXattrs + 1<<10
	maxHead     = maxControl + 2*manifest.MaxXattrs // as text
	frameHeader = 5
)

// limit returns how long a payload of the type may be.
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
