package commands

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJournal(&out, slog.LevelInfo)).With("server", "srv1")
	log.Debug("not asked for")
	log.Info("LIM 1 is to run here: srv2 is down", "rule", "takeover", "time", "soon")
	log.Warn("two\nlines")
	log.WithGroup("g").Error("broken", "err", errors.New("no room"), "level", 3)
	want := `<6>msg="LIM 1 is to run here: srv2 is down" server=srv1 rule=takeover
<4>msg="two\nlines" server=srv1
<3>msg=broken server=srv1 g.err="no room" g.level=3
`
	if out.String() != want {
		t.Errorf("written:\n%swant:\n%s", out.String(), want)
	}
}

// Only the stream that systemd names is its journal.
func TestToJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	named := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	if !toJournal(f, named) || toJournal(f, "") || toJournal(f, named+"1") || toJournal(&bytes.Buffer{}, named) {
		t.Error("the journal's stream was taken for another, or another for it")
	}
}
