package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
)

// Output of the login's shell before the greeting, such as a message of the day, is skipped up to a
// bound.
const (
	maxNoise    = 64 << 10 // bytes
	quotedNoise = 80       // bytes that an error quotes
)

const noiseHint = "make sure that a login there prints nothing of its own, as its shell's .bashrc or .profile may, and that sync.remote_command starts mxcluster"

// opening returns the first bytes of a greeting, without the frame's header.
func opening() []byte {
	return fmt.Appendf(nil, `{"magic":%q,"version":`, ProtocolMagic)
}

// Login is a connection by a login on another server, such as one of package remoteshell.
type Login interface {
	Answered() // called when the greeting has arrived
	Server() string
}

// Meet waits for the greeting of peer, at the other end of the link, and chooses the version of the
// protocol: the newest that both sides speak.
func (l *Link) Meet(peer any) (g Greeting, protocol int, err error) {
	if g, err = l.greeting(); err != nil {
		return g, 0, err
	}
	c, ours := peer.(Login)
	if ours {
		c.Answered()
	}
	theirs := g.Versions()
	if protocol = Spoken.Common(theirs); protocol != 0 {
		return g, protocol, nil
	}
	there, name := "the other server", "the other side"
	if ours {
		there, name = "server "+c.Server(), c.Server()
	}
	older, is := "this server", "new"
	if theirs.Newest < Spoken.Oldest {
		older, is = there, "old"
	}
	return g, 0, fault.New(fault.Refused, "upgrade mxcluster on "+older+", then synchronise again",
		"%s is too %s: it speaks %s of the protocol of syncs, this server %s", name, is, theirs, Spoken)
}

// greeting reads up to the end of the greeting.
func (l *Link) greeting() (g Greeting, err error) {
	var seen []byte
	open := opening()
	for {
		b, err := l.R.ReadByte()
		switch {
		case err != nil:
			return g, unanswered(seen, err)
		case len(seen) >= maxNoise:
			return g, notOurs(seen)
		}
		if seen = append(seen, b); !bytes.HasSuffix(seen, open) {
			continue
		}
		noise := seen[:len(seen)-len(open)]
		if len(noise) < frameHeader {
			continue
		}
		head := noise[len(noise)-frameHeader:]
		if size := binary.BigEndian.Uint32(head[1:]); FrameType(head[0]) == FrameGreeting && size <= maxControl && int(size) > len(open) {
			rest := make([]byte, int(size)-len(open))
			if err := l.ReadContent(rest); err != nil {
				return g, err
			}
			return g, DecodeJSON(append(open, rest...), &g)
		}
	}
}

// unanswered is the error for a login that ended without a greeting.
func unanswered(seen []byte, err error) error {
	text := firstLine(seen)
	switch {
	case errors.Is(err, io.EOF) && len(seen) == 0:
		return wentAway()
	case errors.Is(err, io.EOF):
		return notOurs(seen)
	case text != "":
		return fmt.Errorf("%w; it printed %q before", err, text)
	}
	return err
}

// notOurs is the error for an answer of another program.
func notOurs(seen []byte) error {
	what := ""
	if text := firstLine(seen); text != "" {
		what = fmt.Sprintf(": it begins with %q", text)
	}
	return fault.Wrap(manifest.ErrProtocol, fault.Failed, noiseHint, "the answer is not that of 'mxcluster xdata serve'%s", what)
}

// firstLine returns the first line of a text, shortened; "" for binary data.
func firstLine(data []byte) string {
	for line := range strings.Lines(string(data[:min(len(data), fault.MaxText)])) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if !isText(line) {
			return ""
		}
		return fault.Plain(line[:min(len(line), quotedNoise)])
	}
	return ""
}

// isText tells text, which may contain colour codes, from binary data.
func isText(s string) bool {
	odd := 0
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			odd++
		}
	}
	return odd*4 <= len(s)
}
