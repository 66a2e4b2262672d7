package commands

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// toJournal reports whether a stream is the one that systemd has connected to its journal
// (systemd.exec(5), JOURNAL_STREAM).
func toJournal(stream any, named string) bool {
	f, ok := stream.(*os.File)
	if !ok || named == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && named == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journal writes log records for systemd's journal: with the priority as prefix (sd-daemon(3)), so
// that `journalctl -p warning` finds them, and without the time, which the journal adds.
type journal struct {
	debug, info, warn, err slog.Handler
}

func newJournal(w io.Writer, level slog.Leveler) journal {
	text := func(priority string) slog.Handler {
		return slog.NewTextHandler(prefixed{w, []byte(priority)}, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}})
	}
	return journal{text("<7>"), text("<6>"), text("<4>"), text("<3>")}
}

func (j journal) at(level slog.Level) slog.Handler {
	switch {
	case level >= slog.LevelError:
		return j.err
	case level >= slog.LevelWarn:
		return j.warn
	case level >= slog.LevelInfo:
		return j.info
	}
	return j.debug
}

// Enabled reports whether records of a level are written.
func (j journal) Enabled(ctx context.Context, level slog.Level) bool {
	return j.at(level).Enabled(ctx, level)
}

// Handle writes one record as one line.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	return j.at(r.Level).Handle(ctx, r)
}

// WithAttrs adds attributes to every record.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journal{j.debug.WithAttrs(attrs), j.info.WithAttrs(attrs), j.warn.WithAttrs(attrs), j.err.WithAttrs(attrs)}
}

// WithGroup adds a group to every record.
func (j journal) WithGroup(name string) slog.Handler {
	return journal{j.debug.WithGroup(name), j.info.WithGroup(name), j.warn.WithGroup(name), j.err.WithGroup(name)}
}

// prefixed adds the priority to each line; a record is one write.
type prefixed struct {
	w      io.Writer
	prefix []byte
}

// Write writes one line.
func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append(append([]byte{}, p.prefix...), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
