package sinks

import (
	"bytes"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/alarms"
)

// fields reads an entry as systemd's journal does.
func fields(t *testing.T, entry []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for len(entry) > 0 {
		line, rest, ok := bytes.Cut(entry, []byte("\n"))
		if !ok {
			t.Fatalf("a line without an end: %q", entry)
		}
		if name, value, ok := strings.Cut(string(line), "="); ok {
			out[name], entry = value, rest
			continue
		}
		n := binary.LittleEndian.Uint64(rest)
		out[string(line)] = string(rest[8 : 8+n])
		entry = rest[8+n+1:]
	}
	return out
}

// The journal gets an alarm in fields of its own.
func TestJournalGetsFields(t *testing.T) {
	j := &Journal{Socket: filepath.Join(t.TempDir(), "socket")}
	if err := j.Tell(t.Context(), raise(1)); err == nil || !strings.Contains(err.Error(), "there is no journal") {
		t.Errorf("without a journal: %v", err)
	}
	at, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.Socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	next := func(m Message) map[string]string {
		t.Helper()
		if err := j.Tell(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if err := at.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64<<10)
		n, err := at.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return fields(t, buf[:n])
	}
	got := next(raise(1))
	for name, want := range map[string]string{
		"MESSAGE": "alarm 1 lim-down raised (critical): LIM 1 is down: no power", "PRIORITY": "2", "MESSAGE_ID": MessageID, "SYSLOG_IDENTIFIER": "mxcluster",
		"MXCLUSTER_ALARM": "lim-down", "MXCLUSTER_STATE": "raised", "MXCLUSTER_SEVERITY": "critical", "MXCLUSTER_LIM": "1", "MXCLUSTER_SERVER": "srv1", "MXCLUSTER_HANDLE": "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	lines := clear1(1)
	lines.Text, lines.LIM = "a\nb=c\n", 0
	if got = next(lines); got["MXCLUSTER_TEXT"] != lines.Text || got["PRIORITY"] != "5" || got["MXCLUSTER_STATE"] != "cleared" {
		t.Errorf("a text of several lines: %q", got)
	}
	if _, ok := got["MXCLUSTER_LIM"]; ok {
		t.Error("an alarm about no LIM has one")
	}
	if got = next(TestMessage(alarms.Warning, start, "TEST", "sb1", "root")); got["MXCLUSTER_STATE"] != "test" || got["MESSAGE"] != "test of an alarm (warning): this is a test of the alarms' sinks, by root" {
		t.Errorf("a test: %q", got)
	}
}
