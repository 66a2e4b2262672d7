package commands

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A log that nobody reads stops nobody; who reads it again learns how much is missing.
func TestLogThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		log, end := unblockedLog(out, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) })
		for i := range 3 * linesWaiting {
			log.Info(fmt.Sprint("line ", i))
		}
		var lines []string
		read := make(chan struct{})
		go func() {
			defer close(read)
			for s := bufio.NewScanner(in); s.Scan(); {
				lines = append(lines, s.Text())
			}
		}()
		synctest.Wait()
		log.Info("the last one")
		end()
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		<-read
		text := strings.Join(lines, "\n")
		for _, want := range []string{`"line 0"`, fmt.Sprintf(`"line %d"`, linesWaiting-1), "level=WARN", "lines of this log are missing", `"the last one"`} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in what was read", want)
			}
		}
		if n := len(lines); n < linesWaiting || n > linesWaiting+4 {
			t.Errorf("%d lines were read, want about %d", n, linesWaiting)
		}
	})
}

// The end does not wait for ever for a reader.
func TestLogThatNobodyReadsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		log, end := unblockedLog(out, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) })
		log.Info("nobody takes this")
		began := time.Now()
		end()
		if spent := time.Since(began); spent != lastLines {
			t.Errorf("the end took %s, want %s", spent, lastLines)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
