package sinks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/alarms"
)

// JournalSocket is where systemd's journal takes entries.
const JournalSocket = "/run/systemd/journal/socket"

// MessageID tells entries of alarms from all others in the journal.
const MessageID = "6f3d7a1c52a94b0c9e0d7b7f1a8e4c25"

// Journal is systemd's journal; an entry has the alarm in fields of its own.
type Journal struct {
	Socket string // path
}

// Name returns "journal".
func (j *Journal) Name() string { return "journal" }

// Reach says that it reaches who looks into it.
func (j *Journal) Reach() alarms.Reach { return alarms.Journal }

// Tell writes one entry, in systemd's own form ("Native Journal Protocol").
func (j *Journal) Tell(ctx context.Context, m Message) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", j.Socket)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no journal at %s", j.Socket)
	}
	if err != nil {
		return fmt.Errorf("connecting to the journal: %w", err)
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetWriteDeadline(at); err != nil {
			return fmt.Errorf("writing to the journal: %w", err)
		}
	}
	if _, err := conn.Write(m.entry()); err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	return nil
}

// entry is a message in the form of the journal.
func (m Message) entry() []byte {
	var b bytes.Buffer
	field := func(name, value string) {
		if value == "" {
			return
		}
		if !strings.Contains(value, "\n") {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
			return
		}
		b.WriteString(name + "\n")
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
		b.WriteString(value + "\n")
	}
	field("MESSAGE", m.Line())
	field("MESSAGE_ID", MessageID)
	field("PRIORITY", m.priority())
	field("SYSLOG_IDENTIFIER", "mxcluster")
	field("MXCLUSTER_ALARM", m.Name)
	field("MXCLUSTER_STATE", m.State)
	field("MXCLUSTER_SEVERITY", m.Severity)
	if m.State != Test {
		field("MXCLUSTER_HANDLE", strconv.Itoa(m.Handle))
	}
	if m.LIM != 0 {
		field("MXCLUSTER_LIM", strconv.Itoa(m.LIM))
	}
	field("MXCLUSTER_SERVER", m.Server)
	field("MXCLUSTER_TEXT", m.Text)
	field("MXCLUSTER_SINCE", m.RaisedAt.Format(time.RFC3339))
	field("MXCLUSTER_SYSTEM", m.System)
	return b.Bytes()
}

// priority is that of syslog: critical, warning, or notice.
func (m Message) priority() string {
	switch {
	case m.State != Raised:
		return "5"
	case m.Severity == string(alarms.Critical):
		return "2"
	}
	return "4"
}
