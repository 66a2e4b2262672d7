package xdata

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// crafted is a version on the wire, put together by hand.
type crafted struct {
	head    wire.VersionHead
	entries []manifest.Entry
	data    []string // content of the files, in order, each one chunk
	digest  []byte   // nil: the right one
	more    []byte   // steps after those of the files
	batch   func(steps, data []byte) []byte
	beside  string // what follows on the batch
}

// honest returns a version that is accepted.
func honest() *crafted {
	content := "hello"
	return &crafted{
		head: wire.VersionHead{Name: "xdata_1_20260301020000", Mtime: manifest.Nanoseconds(baseTime), Entries: 2, Bytes: 5, Top: manifest.Attributes{Mode: 0o750}},
		entries: []manifest.Entry{
			{Path: "d", Dir: true, Attr: manifest.Attributes{Mode: 0o755}},
			{Path: "d/f", Size: 5, Attr: manifest.Attributes{Mode: 0o644, Mtime: manifest.Nanoseconds(baseTime)}, Sum: chunk.Sum([]byte(content))},
		},
		data:  []string{content},
		batch: plainBatch,
	}
}

// plainBatch returns the payload of a batch that is not compressed.
func plainBatch(steps, data []byte) []byte {
	return batchOf(wire.ContentPlain, len(data), 0, steps, data)
}

// batchOf returns the payload of a batch: data claims to unpack to a size, and so many bytes
// are announced beside it.
func batchOf(kind byte, size, beside int, steps, data []byte) []byte {
	b := []byte{kind}
	for _, n := range []int{size, len(steps), beside} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(append(b, steps...), data...)
}

// dense has the content of the only file sent as what does not shrink: so much is announced,
// it is taken in chunks of these sizes, and these frames follow on the batch.
func (c *crafted) dense(announced int, sizes []byte, frames string) {
	sum := c.entries[1].Sum
	c.data = nil
	c.more = append(append([]byte{wire.StepDense, byte(len(sizes))}, sizes...), append([]byte{wire.StepEnd}, sum[:]...)...)
	c.batch = func(steps, _ []byte) []byte { return batchOf(wire.ContentPlain, 0, announced, steps, nil) }
	c.beside = frames
}

// honestDense returns a version that is accepted, with content that is not compressed.
func honestDense() *crafted {
	c := honest()
	c.dense(5, []byte{2, 3}, message(wire.FrameContent, "hello"))
	return c
}

// holes has the only file, of a size, sent as these holes.
func (c *crafted) holes(size int64, holes ...uint64) {
	e := &c.entries[1]
	e.Size, e.Sum, c.head.Bytes, c.data = size, chunk.Sum(make([]byte, size)), size, nil
	for _, n := range holes {
		c.more = binary.AppendUvarint(append(c.more, wire.StepHole), n)
	}
	c.more = append(append(c.more, wire.StepEnd), e.Sum[:]...)
}

// honestHoles returns a version that is accepted, with a file that holds nothing.
func honestHoles() *crafted {
	c := honest()
	c.holes(chunk.HoleUnit+5, chunk.HoleUnit, 5)
	return c
}

// userExtra is an attribute as a peer may send it.
var userExtra = manifest.Xattrs("").Add("user.a", []byte("1"))

// zipped returns one whose content claims to be of a size.
func zipped(size int, steps, packed []byte) []byte {
	return batchOf(wire.ContentZstd, size, 0, steps, packed)
}

// steps returns those that put the files together, and their content.
func (c *crafted) steps() (steps, data []byte) {
	files := 0
	for i := range c.entries {
		e := &c.entries[i]
		steps = manifest.AppendEntry(append(steps, wire.StepEntry), e)
		if e.Dir || files >= len(c.data) {
			continue
		}
		if content := c.data[files]; content != "" {
			steps = append(steps, wire.StepData, 1)
			steps = binary.AppendUvarint(steps, uint64(len(content)))
			data = append(data, content...)
		}
		steps = append(append(steps, wire.StepEnd), e.Sum[:]...)
		files++
	}
	return append(steps, c.more...), data
}

// bytes returns the stream.
func (c *crafted) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	l := wire.NewLink(nil, &b)
	must(t, l.Send(wire.FrameHead, c.head))
	must(t, l.Put(wire.FrameBatch, c.batch(c.steps())))
	must(t, l.Flush())
	b.WriteString(c.beside)
	digest := c.digest
	if digest == nil {
		digest = (&manifest.Manifest{Entries: c.entries}).Digest()
	}
	must(t, l.Send(wire.FrameEnd, wire.DigestMessage{Digest: digest}))
	return b.Bytes()
}

// receiveFrom lets a new store, inside a folder of its own, receive a stream.
func receiveFrom(t testing.TB, stream io.Reader) (*Store, error) {
	t.Helper()
	s := newStore(t)
	must(t, os.MkdirAll(s.Dir, 0o755))
	_, err := receive(s, wire.NewLink(stream, io.Discard))
	return s, err
}

// frame returns a frame with a length of its own choosing.
func frame(t wire.FrameType, size uint32, payload string) string {
	head := binary.BigEndian.AppendUint32([]byte{byte(t)}, size)
	return string(head) + payload
}

// message returns a frame of the right length.
func message(t wire.FrameType, payload string) string { return frame(t, uint32(len(payload)), payload) }

func TestHonestPeer(t *testing.T) {
	nothing := string(make([]byte, chunk.HoleUnit+5))
	for name, c := range map[string]struct {
		*crafted
		want string
	}{"plain": {honest(), "hello"}, "dense": {honestDense(), "hello"}, "holes": {honestHoles(), nothing}} {
		s, err := receiveFrom(t, bytes.NewReader(c.bytes(t)))
		must(t, err)
		data, err := os.ReadFile(filepath.Join(s.Dir, "xdata_1_20260301020000/d/f"))
		if err != nil || string(data) != c.want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// Whatever a peer sends, nothing becomes visible, nothing stays, and nothing is
// written outside of the store.
func TestHostilePeer(t *testing.T) {
	file := func(name string) manifest.Entry {
		e := honest().entries[1]
		e.Path = name
		return e
	}
	only := func(entries ...manifest.Entry) func(c *crafted) {
		return func(c *crafted) {
			c.entries, c.head.Entries = entries, len(entries)
			c.head.Bytes = (&manifest.Manifest{Entries: entries}).Bytes()
		}
	}
	dir := manifest.Entry{Path: "d", Dir: true, Attr: manifest.Attributes{Mode: 0o755}}
	for _, tt := range []struct {
		name string
		edit func(c *crafted)
		code fault.Code
		text string
	}{
		{"parent", only(file("../f")), fault.Failed, `the path "../f"`},
		{"parent inside", only(dir, file("d/../../f")), fault.Failed, "the path"},
		{"absolute", only(file("/tmp/f")), fault.Failed, `the path "/tmp/f"`},
		{"empty path", only(file("")), fault.Failed, `the path ""`},
		{"dot", only(file(".")), fault.Failed, `the path "."`},
		{"dot component", only(dir, file("d/./f")), fault.Failed, "the path"},
		{"double slash", only(dir, file("d//f")), fault.Failed, "the path"},
		{"trailing slash", only(dir, file("d/f/")), fault.Failed, "the path"},
		{"NUL", only(file("f\x00g")), fault.Failed, "the path"},
		{"twice", only(file("f"), file("f")), fault.Failed, `the path "f" after "f"`},
		{"unsorted", only(file("g"), file("f")), fault.Failed, `the path "f" after "g"`},
		{"folder twice", only(dir, dir, file("d/f")), fault.Failed, "the path"},
		{"no folder", only(file("d/f")), fault.Failed, "outside of any folder"},
		{"below a file", only(file("d"), file("d/f")), fault.Failed, "outside of any folder"},
		{"long component", only(file(strings.Repeat("a", 300))), fault.Failed, "the path"},
		{"no files", only(dir), fault.Failed, "other than announced"},
		{"set-user-ID", func(c *crafted) { c.entries[1].Attr.Mode = 0o4755 }, fault.Failed, "the mode"},
		{"set-group-ID on a file", func(c *crafted) { c.entries[1].Attr.Mode = 0o2755 }, fault.Failed, "the mode"},
		{"device mode", func(c *crafted) { c.entries[1].Attr.Mode = 0o20644 }, fault.Failed, "the mode"},
		{"mode of the top", func(c *crafted) { c.head.Top.Mode = 0o4755 }, fault.Failed, "the mode"},
		{"fewer announced", func(c *crafted) { c.head.Entries = 1 }, fault.Failed, "more files than announced"},
		{"giant count", func(c *crafted) { c.head.Entries = manifest.MaxEntries + 1 }, fault.Refused, "at most 1000000"},
		{"negative count", func(c *crafted) { c.head.Entries = -1 }, fault.Refused, "at most"},
		{"negative size", func(c *crafted) { c.head.Bytes = -5 }, fault.Refused, "at most"},
		{"hole of nothing", func(c *crafted) { c.holes(5, 0, 5) }, fault.Failed, "a hole of 0 bytes"},
		{"hole beyond the end", func(c *crafted) { c.holes(5, 6) }, fault.Failed, "a hole of 6 bytes at 0 of 5"},
		{"giant hole", func(c *crafted) { c.holes(5, chunk.MaxHole+1) }, fault.Failed, "cannot be read"},
		{"hole between blocks", func(c *crafted) { c.holes(2*chunk.HoleUnit, 5) }, fault.Failed, "a hole of 5 bytes"},
		{"hole outside of a file", func(c *crafted) { c.more = []byte{wire.StepHole, 5} }, fault.Failed, "out of turn"},
		{"hole in what holds something", func(c *crafted) { c.holes(5, 5); c.entries[1].Sum = chunk.Sum([]byte("hello")) }, fault.Conflict, "does not match its hash"},
		{"attributes of nothing", func(c *crafted) { c.more = []byte{wire.StepExtra, 0} }, fault.Failed, "belong nowhere"},
		{"attributes behind a file", func(c *crafted) { c.more = append([]byte{wire.StepExtra}, manifest.AppendXattrs(nil, userExtra)...) }, fault.Failed, "belong nowhere"},
		{"attributes cut off", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepExtra, 9, 1} }, fault.Failed, "belong nowhere"},
		{"attributes twice", func(c *crafted) {
			x := append([]byte{wire.StepExtra}, manifest.AppendXattrs(nil, userExtra)...)
			c.data, c.more = nil, append(x, x...)
		}, fault.Failed, "belong nowhere"},
		{"a capability", func(c *crafted) {
			c.data, c.more = nil, append([]byte{wire.StepExtra}, manifest.AppendXattrs(nil, manifest.Xattrs("").Add("security.capability", []byte("x")))...)
		}, fault.Failed, "the attribute"},
		{"a capability of the version", func(c *crafted) { c.head.Top.Xattrs = manifest.Xattrs("").Add("security.capability", nil) }, fault.Failed, "the attribute"},
		{"more content than bytes", func(c *crafted) { c.head.Content = 6 }, fault.Failed, "6 of 5 bytes"},
		{"negative content", func(c *crafted) { c.head.Content = -1 }, fault.Failed, "-1 of 5 bytes"},
		{"giant size", func(c *crafted) { c.head.Bytes = manifest.MaxBytes }, fault.Refused, "MiB free"},
		{"size beyond the limit", func(c *crafted) { c.head.Bytes = 1 << 62 }, fault.Refused, "at most"},
		{"giant file", func(c *crafted) { c.entries[1].Size = 1<<63 - 1 }, fault.Failed, "more bytes than announced"},
		{"more bytes announced", func(c *crafted) { c.head.Bytes = 6 }, fault.Failed, "other than announced"},
		{"longer file", func(c *crafted) { c.data[0] = "hello, world" }, fault.Failed, "longer than announced"},
		{"shorter file", func(c *crafted) { c.data[0] = "hell" }, fault.Failed, "has 4 bytes, announced were 5"},
		{"no content", func(c *crafted) { c.data[0] = "" }, fault.Failed, "has 0 bytes, announced were 5"},
		{"never ends", func(c *crafted) { c.data = nil }, fault.Failed, "in the middle of a file"},
		{"chunk of nothing", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepData, 1, 0} }, fault.Failed, "a chunk of 0 bytes"},
		{"chunk of more than there is", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepData, 1, 9} }, fault.Failed, "a chunk of 9 bytes where 0"},
		{"more chunks than there are", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepData, 0xff, 0xff, 0x3f} }, fault.Failed, "cannot be read"},
		{"giant chunk", func(c *crafted) {
			c.data, c.more = nil, append([]byte{wire.StepData, 1}, bytes.Repeat([]byte{0xff}, 9)...)
		}, fault.Failed, "cannot be read"},
		{"chunks that we do not have", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepCopy, 0, 1} }, fault.Failed, "chunks 0 to 1 of 0"},
		{"no chunks at all", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepCopy, 0, 0} }, fault.Failed, "chunks 0 to 0 of 0"},
		{"chunks far away", func(c *crafted) {
			c.data, c.more = nil, append([]byte{wire.StepCopy}, bytes.Repeat([]byte{0xff}, 12)...)
		}, fault.Failed, "cannot be read"},
		{"a sum cut off", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepEnd, 1, 2} }, fault.Failed, "cannot be read"},
		{"an end outside of files", func(c *crafted) { c.more = append([]byte{wire.StepEnd}, make([]byte, 32)...) }, fault.Failed, "out of turn"},
		{"data outside of files", func(c *crafted) { c.more = []byte{wire.StepData, 1, 1} }, fault.Failed, "out of turn"},
		{"again unasked", func(c *crafted) { c.more = []byte{wire.StepAgain, 1} }, fault.Failed, "out of turn"},
		{"a file in a file", func(c *crafted) { c.data, c.more = nil, []byte{wire.StepEntry} }, fault.Failed, "out of turn"},
		{"no such step", func(c *crafted) { c.more = []byte{99} }, fault.Failed, "out of turn"},
		{"content that belongs nowhere", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return plainBatch(steps, append(data, 'x')) }
		}, fault.Failed, "belong nowhere"},
		{"a batch of nothing", func(c *crafted) { c.batch = func(_, _ []byte) []byte { return nil } }, fault.Failed, "an empty batch"},
		{"a batch without steps", func(c *crafted) {
			c.batch = func(_, data []byte) []byte { return plainBatch(nil, data) }
		}, fault.Failed, "without steps"},
		{"a batch of another kind", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return append([]byte{7}, plainBatch(steps, data)[1:]...) }
		}, fault.Failed, "of kind 7"},
		{"steps cut off", func(c *crafted) { c.batch = func(_, _ []byte) []byte { return []byte{wire.ContentPlain, 0, 200, 0} } }, fault.Failed, "cut off"},
		{"content announced as giant", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return zipped(1<<40, steps, data) }
		}, fault.Failed, "1099511627776 bytes of content"},
		{"not compressed", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return zipped(len(data), steps, data) }
		}, fault.Failed, "cannot be unpacked"},
		{"a bomb", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return zipped(len(data), steps, bomb(t)) }
		}, fault.Failed, "cannot be unpacked"},
		{"content that does not follow", func(c *crafted) { c.dense(5, []byte{5}, "") }, fault.Failed, "message 10 where 16 is due"},
		{"less content beside", func(c *crafted) { c.dense(5, []byte{5}, message(wire.FrameContent, "hell")) }, fault.Failed, "4 bytes of content where 5"},
		{"more content beside", func(c *crafted) { c.dense(5, []byte{5}, message(wire.FrameContent, "hello!")) }, fault.Failed, "6 bytes of content where 5"},
		{"content beside announced as giant", func(c *crafted) { c.dense(1<<40, []byte{5}, message(wire.FrameContent, "hello")) }, fault.Failed, "and 1099511627776 beside it"},
		{"a giant frame of content", func(c *crafted) { c.dense(chunk.MaxSize, []byte{5}, frame(wire.FrameContent, 1<<31, "")) }, fault.Failed, "a message of 2147483648 bytes"},
		{"content beside that belongs nowhere", func(c *crafted) { c.dense(6, []byte{5}, message(wire.FrameContent, "hello!")) }, fault.Failed, "belong nowhere"},
		{"content beside that nobody takes", func(c *crafted) {
			c.batch = func(steps, data []byte) []byte { return batchOf(wire.ContentPlain, len(data), 5, steps, data) }
			c.beside = message(wire.FrameContent, "hello")
		}, fault.Failed, "belong nowhere"},
		{"a chunk of more than is beside", func(c *crafted) { c.dense(5, []byte{9}, message(wire.FrameContent, "hello")) }, fault.Failed, "a chunk of 9 bytes where 5"},
		{"more chunks than are beside", func(c *crafted) { c.dense(5, []byte{5, 1}, message(wire.FrameContent, "hello")) }, fault.Failed, "a chunk of 1 bytes where 0"},
		{"content that nobody announced", func(c *crafted) { c.beside = message(wire.FrameContent, "hello") }, fault.Failed, "message 16 where 9 is due"},
		{"other content beside, and not again", func(c *crafted) { c.dense(5, []byte{5}, message(wire.FrameContent, "hEllo")) }, fault.Unreachable, "went away"},
		{"other content, and not again", func(c *crafted) { c.data[0] = "hEllo" }, fault.Unreachable, "went away"},
		{"other digest", func(c *crafted) { c.digest = []byte("x") }, fault.Conflict, "version does not match"},
		{"other LIM", func(c *crafted) { c.head.Name = "xdata_2_20260301020000" }, fault.Failed, "for LIM 1"},
		{"path for a name", func(c *crafted) { c.head.Name = "../xdata_1_20260301020000" }, fault.Failed, "for LIM 1"},
		{"other time than its files", func(c *crafted) { c.head.Mtime++ }, fault.Failed, "other than announced"},
		{"from the future", func(c *crafted) { c.head.Mtime = manifest.Nanoseconds(time.Now().Add(time.Hour)) }, fault.Refused, "future"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := honest()
			tt.edit(c)
			s, err := receiveFrom(t, bytes.NewReader(c.bytes(t)))
			wantCode(t, err, tt.code, tt.text)
			wantUntouched(t, s)
			if kept := s.partials(1).folders(); (len(kept) > 0) != (tt.code == fault.Unreachable) {
				t.Errorf("kept for another time: %q", kept)
			}
		})
	}
}

// wantUntouched checks that a store has nothing in it, and nothing came to be
// beside it.
func wantUntouched(t testing.TB, s *Store) {
	t.Helper()
	if versions, leftovers := visible(t, s); versions != nil || leftovers != nil {
		t.Errorf("left %q %q", versions, leftovers)
	}
	beside, err := os.ReadDir(filepath.Dir(s.Dir))
	must(t, err)
	if len(beside) != 1 {
		t.Errorf("outside of the store: %v", beside)
	}
}

// Streams that are wrong as such, and not in what they say.
func TestHostileStream(t *testing.T) {
	good := string(honest().bytes(t))
	endless := func(s string) io.Reader { return io.MultiReader(strings.NewReader(good[:5+headLen(good)]), repeat(s)) }
	for _, tt := range []struct {
		name   string
		stream io.Reader
		code   fault.Code
		text   string
	}{
		{"nothing", strings.NewReader(""), fault.Unreachable, "went away"},
		{"junk", strings.NewReader("Welcome to srv2!\n"), fault.Failed, "unknown message"},
		{"endless junk", repeat("\xff"), fault.Failed, "unknown message"},
		{"giant head", strings.NewReader(frame(wire.FrameHead, 1<<31, "")), fault.Failed, "a message of 2147483648 bytes"},
		{"giant batch", endless(frame(wire.FrameBatch, 1<<32-1, "")), fault.Failed, "a message of 4294967295 bytes"},
		{"endless nothing", endless(frame(wire.FrameBatch, 0, "")), fault.Failed, "an empty batch"},
		{"endless folders", endless(message(wire.FrameBatch, string(plainBatch(append([]byte{wire.StepEntry}, 1, 0, 0, 0, 0, 1, 'a'), nil)))), fault.Failed, "the path \"a\" after \"a\""},
		{"entries of junk", endless(message(wire.FrameBatch, string(plainBatch([]byte{wire.StepEntry, 255, 255, 255}, nil)))), fault.Failed, "cannot be read"},
		{"long path", endless(message(wire.FrameBatch, string(plainBatch([]byte{wire.StepEntry, 1, 0, 0, 0, 0, 255, 255, 0x7f}, nil)))), fault.Failed, "cannot be read"},
		{"end at once", endless(frame(wire.FrameEnd, 0, "")), fault.Failed, "other than announced"},
		{"another message", strings.NewReader(frame(wire.FrameDone, 0, "")), fault.Failed, "message 12 where 7 is due"},
		{"head of junk", strings.NewReader(message(wire.FrameHead, "[]")), fault.Failed, "cannot be read"},
		{"error", strings.NewReader(message(wire.FrameError, `{"code":3,"message":"no\u001b[2J","hint":"h"}`)), fault.Refused, "no?[2J"},
		{"error of success", strings.NewReader(message(wire.FrameError, `{"code":0,"message":""}`)), fault.Failed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := receiveFrom(t, tt.stream)
			if err == nil {
				t.Fatal("accepted")
			}
			wantCode(t, err, tt.code, tt.text)
			wantUntouched(t, s)
		})
	}
}

// headLen returns the length of a stream's first payload.
func headLen(stream string) int { return int(binary.BigEndian.Uint32([]byte(stream[1:5]))) }

// repeat is a reader without end.
type repeat string

func (r repeat) Read(p []byte) (int, error) {
	n := copy(p, r)
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

// A stream cut at any byte leaves nothing.
func TestTruncated(t *testing.T) {
	for _, good := range [][]byte{honest().bytes(t), honestDense().bytes(t)} {
		for n := range good {
			s, err := receiveFrom(t, bytes.NewReader(good[:n]))
			if err == nil {
				t.Fatalf("accepted %d of %d bytes", n, len(good))
			}
			wantUntouched(t, s)
		}
	}
}

// A peer that pushes is held to the rules by the server, whatever direction it
// chose for itself.
func TestHostileClient(t *testing.T) {
	push := string(honest().bytes(t))
	open := message(wire.FrameOpen, `{"lim":1,"side":"standby"}`)
	for _, tt := range []struct {
		name, input string
		code        fault.Code
		text        string
	}{
		{"older than what is here", open + frame(wire.FramePush, 0, "") + push, fault.Refused, "is not newer than xdata_1_20260302000000"},
		{"push before open", frame(wire.FramePush, 0, "") + push, fault.Failed, "out of turn"},
		{"pull before open", frame(wire.FramePull, 0, ""), fault.Failed, "out of turn"},
		{"open twice", open + open, fault.Failed, "out of turn"},
		{"LIM 0", message(wire.FrameOpen, `{"lim":0,"side":"standby"}`), fault.Failed, "LIM 0"},
		{"LIM with a path", message(wire.FrameOpen, `{"lim":"../1","side":"standby"}`), fault.Failed, "cannot be read"},
		{"no side", message(wire.FrameOpen, `{"lim":1}`), fault.Failed, `the side ""`},
		{"answer for a request", frame(wire.FrameGreeting, 0, ""), fault.Failed, "out of turn"},
		{"goes away", open, fault.Unreachable, "went away"},
		{"goes away in mid-message", open[:len(open)-1], fault.Failed, "unexpected EOF"},
		{"goodbye at once", frame(wire.FrameBye, 0, ""), fault.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			foreign(t, s, "xdata_1_20260302000000", sample, baseTime.Add(time.Second))
			err := Serve(context.Background(), s, strings.NewReader(tt.input), io.Discard, ServeOptions{})
			wantCode(t, err, tt.code, tt.text)
			if versions, leftovers := visible(t, s); len(versions) != 1 || leftovers != nil {
				t.Errorf("left %q %q", versions, leftovers)
			}
		})
	}
}

// A server that is none, or an evil one, is told from the one we want.
func TestHostileServer(t *testing.T) {
	hello := message(wire.FrameGreeting, fmt.Sprintf(`{"magic":"mxcluster-xdata","version":%d}`, wire.Spoken.Newest))
	clockNow := func() string {
		now := `{"now":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"}`
		return message(wire.FrameClock, now)
	}
	for _, tt := range []struct {
		name, output string
		code         fault.Code
		text         string
	}{
		{"silent", "", fault.Unreachable, "went away"},
		{"login banner", "Last login: Mon Mar  2\n", fault.Failed, "not that of 'mxcluster xdata serve'"},
		{"other protocol", message(wire.FrameGreeting, `{"magic":"other","version":1}`), fault.Failed, "protocol"},
		{"other version", message(wire.FrameGreeting, `{"magic":"mxcluster-xdata","version":1}`), fault.Refused, "version 1"},
		{"no clock", hello + message(wire.FrameClock, "{}"), fault.Refused, "apart"},
		{"wrong answer", hello + clockNow() + message(wire.FrameDone, "{}"), fault.Failed, "where 3 is due"},
		{"error", hello + clockNow() + message(wire.FrameError, `{"code":6,"message":"in use by root"}`), fault.Busy, "in use by root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			states["older"](t, s)
			conn := recorded{strings.NewReader(tt.output)}
			_, err := Sync(context.Background(), s, conn, Request{LIM: 1, Side: clusterconf.SideRegular})
			wantCode(t, err, tt.code, tt.text)
		})
	}
}

// recorded is a server that says what it says, whatever it is asked.
type recorded struct{ io.Reader }

func (recorded) Write(p []byte) (int, error) { return len(p), nil }
func (recorded) Close() error                { return nil }

// bomb returns 1 GiB of nothing, compressed.
func bomb(t testing.TB) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	must(t, err)
	_, err = io.CopyN(z, repeat("\x00"), 1<<30)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}
