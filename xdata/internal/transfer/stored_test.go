package transfer

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/datatest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// spansOf returns spans in memory and in a file, and what they hold.
func spansOf(t *testing.T, file *sharedFile, content string) (spans []wire.Span, want string) {
	t.Helper()
	for _, s := range []struct {
		memory string
		off, n int
	}{{"head", 0, 0}, {"", 5, 300_001}, {"", 0, 4096}, {strings.Repeat("between", 1000), 0, 0}, {"", 600_000, 400_000}} {
		if s.memory != "" {
			spans = append(spans, wire.Span{Data: []byte(s.memory)})
			want += s.memory
			continue
		}
		spans = append(spans, wire.Span{File: file, Off: int64(s.off), N: s.n})
		want += content[s.off:][:s.n]
	}
	return spans, want
}

// openedFile opens a file that is to be sent from.
func openedFile(t *testing.T, name string) *sharedFile {
	t.Helper()
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	f := share(tree.Handle{Fd: fd, Name: "big"}, new(atomic.Int32))
	t.Cleanup(f.Release)
	return f
}

// What lies in files arrives as it is there, through whatever it is sent; also where the
// reader is slow.
func TestSpans(t *testing.T) {
	content := noise(1, 1_000_000)
	name := filepath.Join(t.TempDir(), "big")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	spans, want := spansOf(t, openedFile(t, name), content)
	ways := map[string]func(t *testing.T) (io.Reader, io.Writer){
		"a socket": func(t *testing.T) (io.Reader, io.Writer) { ours, theirs := datatest.Connected(t); return theirs, ours },
		"a pipe": func(t *testing.T) (io.Reader, io.Writer) {
			r, w, err := os.Pipe()
			must(t, err)
			t.Cleanup(func() { r.Close(); w.Close() })
			return r, w
		},
		"what takes no files": func(*testing.T) (io.Reader, io.Writer) { return io.Pipe() },
	}
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			r, w := open(t)
			const frames = 10
			sent := make(chan error, 1)
			go func() {
				out := wire.NewLink(nil, w)
				var err error
				for range frames {
					err = cmp.Or(err, out.PutSpans(spans))
				}
				sent <- cmp.Or(err, out.Flush())
			}()
			in := wire.NewLink(r, nil)
			for range frames {
				must(t, in.ExpectContent(len(want)))
				got := make([]byte, len(want))
				must(t, in.ReadContent(got[:10]))
				must(t, in.ReadContent(got[10:200_000]))
				must(t, in.ReadContent(got[200_000:]))
				if string(got) != want {
					t.Fatal("arrived as something else")
				}
			}
			must(t, <-sent)
		})
	}
}

// A file that got shorter is told of, and the stream stays one that can be understood.
func TestSpansOfAShorterFile(t *testing.T) {
	content := noise(1, 1_000_000)
	name := filepath.Join(t.TempDir(), "big")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	spans, want := spansOf(t, openedFile(t, name), content)
	must(t, os.Truncate(name, 600_000+3*(64<<10)))
	ours, theirs := datatest.Connected(t)
	reader, writer := io.Pipe()
	for way, ends := range map[string]struct {
		r io.Reader
		w io.Writer
	}{"a socket": {theirs, ours}, "what takes no files": {reader, writer}} {
		sent := make(chan error, 1)
		go func() {
			out := wire.NewLink(nil, ends.w)
			err := out.PutSpans(spans)
			must(t, out.Send(wire.FrameBye, nil))
			sent <- err
		}()
		in := wire.NewLink(ends.r, nil)
		must(t, in.ExpectContent(len(want)))
		got := make([]byte, len(want))
		must(t, in.ReadContent(got))
		there := len(want) - 400_000 + 3*(64<<10)
		if string(got[:there]) != want[:there] || len(bytes.Trim(got[there:], "\x00")) > 0 {
			t.Errorf("%s: not what is there, filled up with zeros", way)
		}
		if kind, _, err := in.Next(); err != nil || kind != wire.FrameBye {
			t.Errorf("%s: then %d, %v", way, kind, err)
		}
		wantCode(t, <-sent, fault.Busy, `"big" changed`)
	}
}

// Whoever goes away while a file is sent to him is noticed.
func TestSpansForNobody(t *testing.T) {
	name := filepath.Join(t.TempDir(), "big")
	content := noise(1, 1_000_000)
	must(t, os.WriteFile(name, []byte(content), 0o600))
	spans, _ := spansOf(t, openedFile(t, name), content)
	ours, theirs := datatest.Connected(t)
	theirs.Close()
	var lost wire.WriteError
	if err := wire.NewLink(nil, ours).PutSpans(spans); !errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

// The last batch that sends from a file closes it, and no more are open than may be.
func TestStoredFilesAreClosed(t *testing.T) {
	s, to := newStore(t), newStore(t)
	many := fileTree{"large": noise(9, 3<<20)}
	for i := range 40 {
		many["f"+strings.Repeat("x", i)] = noise(byte(i), 2*minZeroCopy)
	}
	foreign(t, s, "xdata_1_20260301020000", many, baseTime)
	opened := openedFor(t, s)
	opened.Prefetch(t.Context(), true)
	a := opened.prefetched
	waitUntil(t, "files wait to be sent", func() bool { return a.out.files.Load() >= 10 })
	must(t, sentTo(t, opened, to))
	if n := a.out.files.Load(); n != 0 {
		t.Errorf("%d files are open", n)
	}

	again, other := openedFor(t, s), newStore(t)
	again.Prefetch(t.Context(), true)
	out := again.prefetched.out
	must(t, again.DropPrefetch())
	if n := out.files.Load(); n != 0 {
		t.Errorf("%d files are open of what was dropped", n)
	}
	must(t, sentTo(t, again, other))
}

// No more files are open than may be: what follows is copied.
func TestStoredFilesAreBounded(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301020000", fileTree{"a": noise(1, 2*minZeroCopy), "b": noise(2, 2*minZeroCopy), "c": noise(3, 2*minZeroCopy)}, baseTime)
	opened := openedFor(t, s)
	must(t, opened.ReadAll(t.Context()))
	out, err := newBatches()
	must(t, err)
	if out.limit < 100 {
		t.Errorf("%d files may be open to be sent from", out.limit)
	}
	out.limit = 1
	send := Sender{Snapshot: opened, out: out, files: tree.Opener{Root: opened.Root}, buf: make([]byte, chunk.MaxSize)}
	defer send.files.Close()
	m := opened.Manifest
	for i := range m.Entries {
		e := &m.Entries[i]
		_, size, err := send.sendStored(t.Context(), e, m.ChunksOf(e), 0)
		must(t, err)
		if size != e.Size {
			t.Fatalf("%d bytes of %s", size, e.Path)
		}
		send.closeFile()
	}
	var stored, copied int
	for _, p := range out.cur.incompressible {
		stored, copied = stored+p.N, copied+len(p.Data)
	}
	if stored < minZeroCopy || stored > 2*minZeroCopy || copied < 2*minZeroCopy {
		t.Errorf("%d bytes are sent from where they lie, %d are copied", stored, copied)
	}
	out.drop()
	if err := out.close(); !errors.Is(err, errDropped) {
		t.Error(err)
	}
	if n := out.files.Load(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// A file that changes between the reading and the sending is found out by the receiver, and
// then told of; nothing of it becomes visible.
func TestStoredFileChanges(t *testing.T) {
	content := noise(1, 3<<20)
	for name, tc := range map[string]struct {
		change func(t *testing.T, file string)
		code   fault.Code
		says   string
	}{
		"written": {func(t *testing.T, file string) {
			must(t, os.WriteFile(file, []byte(noise(2, 3<<20)), 0o600))
		}, fault.Busy, `"big" changed`},
		"cut off": {func(t *testing.T, file string) { must(t, os.Truncate(file, 1<<20)) }, fault.Busy, `"big" changed`},
		"rotted": {func(t *testing.T, file string) {
			info, err := os.Stat(file)
			must(t, err)
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("rot"), 2<<20)
			must(t, errors.Join(err, f.Close()))
			must(t, os.Chtimes(file, info.ModTime(), info.ModTime()))
		}, fault.Conflict, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			s, to := newStore(t), newStore(t)
			dir := foreign(t, s, "xdata_1_20260301020000", fileTree{"big": content, "s": "small"}, baseTime)
			opened := openedFor(t, s)
			opened.Prefetch(t.Context(), true)
			a := opened.prefetched
			<-opened.reading.done
			waitUntil(t, "all is ready", func() bool { return len(a.out.queue) >= 4 })
			tc.change(t, filepath.Join(dir, "big"))
			err := sentTo(t, opened, to)
			wantCode(t, err, tc.code, tc.says)
			if versions := visible(t, to); versions != nil {
				t.Errorf("visible: %q", versions)
			}
		})
	}
}
