package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mxcluster/internal/fault"
)

// brokenOutput is a standard output that takes some bytes and then fails, or fails
// when it is closed.
type brokenOutput struct {
	room            int
	full, whenClose error
}

func (b *brokenOutput) Write(p []byte) (int, error) {
	if b.full != nil && len(p) > b.room {
		return b.room, b.full
	}
	b.room -= len(p)
	return len(p), nil
}

func (b *brokenOutput) Close() error { return b.whenClose }

// No command ends well whose answer could not be written: one line says so, and none
// where the reader has gone.
func TestAnswersThatCannotBeWritten(t *testing.T) {
	w := newWorld(t.TempDir())
	lines := []string{"version", "completion bash", "completion zsh", "completion fish", "list", "list -o csv", "list -o name",
		"status -o yaml", "config show", "config history", "server list", "lim list", "lock 1 --to regular --dry-run", "explain 1", "__complete lock ", "help sync", "--help"}
	w.document(t, clusterconftest.OneCluster)
	for _, line := range lines {
		for name, tc := range map[string]struct {
			out  brokenOutput
			says string
		}{
			"a full disk":       {brokenOutput{full: syscall.ENOSPC}, "mxcluster: writing the answer: no space left on device\nmake room on the disk, and try again\n"},
			"seen when closed":  {brokenOutput{whenClose: syscall.EDQUOT}, "mxcluster: writing the answer: disk quota exceeded\nmake room on the disk, and try again\n"},
			"a reader who left": {brokenOutput{room: 2, full: syscall.EPIPE}, ""},
		} {
			var errs bytes.Buffer
			code := Run(t.Context(), w.env(&tc.out, &errs), strings.Fields(line))
			said := errs.String()
			if i := strings.Index(said, "mxcluster: writing"); i >= 0 {
				said = said[i:] // notes may stand before
			}
			if code != fault.Failed || tc.says != "" && said != tc.says || tc.says == "" && strings.Contains(said, "writing") {
				t.Errorf("%s, %s: code %d: %q", line, name, code, errs.String())
			}
		}
	}
	var errs bytes.Buffer
	code := Run(t.Context(), w.env(&brokenOutput{full: syscall.ENOSPC}, &errs), []string{"status", "--check"})
	if code != 3 || !strings.Contains(errs.String(), "no space left on device") {
		t.Errorf("status --check: code %d: %s", code, errs.String())
	}
}

// What went wrong besides is told, also to who reads no more.
func TestAnotherErrorBesideAReaderWhoLeft(t *testing.T) {
	s := sink{to: &brokenOutput{full: syscall.EPIPE}}
	_, broken := s.Write([]byte("x"))
	for err, want := range map[error]bool{nil: true, broken: true, fmt.Errorf("writing: %w", broken): true, errors.New("no such LIM"): false} {
		if readerGone(s.end(err)) != want {
			t.Errorf("%v: told as %v", err, s.end(err))
		}
	}
}
