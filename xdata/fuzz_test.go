package xdata

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"mxcluster/clusterconf"
	"mxcluster/internal/compat"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// What a hostile peer may send, one target for each kind of message.

func FuzzReceive(f *testing.F) {
	f.Add(honest().bytes(f))
	deep := honest()
	deep.entries[1].Path = "d/\xff"
	f.Add(deep.bytes(f))
	again := honest()
	again.data[0] = "hEllo"
	f.Add(again.bytes(f))
	f.Add(honestDense().bytes(f))
	f.Add([]byte(message(wire.FrameHead, "{}")))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, stream []byte) {
		parent, err := os.MkdirTemp(dir, "")
		must(t, err)
		defer os.RemoveAll(parent)
		s := &Store{Dir: filepath.Join(parent, "xdata"), Still: AtOnce}
		must(t, os.Mkdir(s.Dir, 0o755))
		v, err := receive(s, wire.NewLink(bytes.NewReader(stream), io.Discard))
		if err != nil {
			wantUntouched(t, s)
			return
		}
		if v.Files == 0 || !v.Complete || v.LIM != 1 {
			t.Errorf("accepted %+v", v)
		}
		if found, err := s.Verify(context.Background(), v, nil); err != nil || found.Result != Intact {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// FuzzBatch feeds the steps of a batch to a receiver that has chunks of its own.
func FuzzBatch(f *testing.F) {
	steps, data := honest().steps()
	f.Add(steps, data, []byte(nil))
	f.Add(append(append([]byte{}, steps...), wire.StepAgain, 1, wire.StepCopy, 0, 1), data, []byte(nil))
	c := honest()
	c.data, c.more = nil, append([]byte{wire.StepCopy, 0, 1, wire.StepEnd}, c.entries[1].Sum[:]...)
	steps, data = c.steps()
	f.Add(steps, data, []byte(nil))
	c = honestDense()
	steps, _ = c.steps()
	f.Add(steps, []byte(nil), []byte("hello"))
	steps = append(manifest.AppendEntry([]byte{wire.StepEntry}, &honest().entries[0]), append([]byte{wire.StepExtra}, manifest.AppendXattrs(nil, userExtra)...)...)
	f.Add(steps, []byte(nil), []byte(nil))
	steps, _ = honestHoles().steps()
	f.Add(steps, []byte(nil), []byte(nil))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, steps, data, beside []byte) {
		if len(data)+len(beside) > chunk.MaxSize || len(steps) > wire.MaxPayload {
			return
		}
		parent, err := os.MkdirTemp(dir, "")
		must(t, err)
		defer os.RemoveAll(parent)
		s := &Store{Dir: filepath.Join(parent, "xdata"), Still: AtOnce}
		foreign(t, s, "xdata_1_20250101000000", fileTree{"f": "hello", "g": strings.Repeat("x", 10000)}, baseTime.Add(-time.Hour))
		c := honest()
		c.batch = func(_, _ []byte) []byte { return batchOf(wire.ContentPlain, len(data), len(beside), steps, data) }
		if len(beside) > 0 {
			c.beside = message(wire.FrameContent, string(beside))
		}
		_, err = receive(s, wire.NewLink(bytes.NewReader(c.bytes(t)), io.Discard))
		versions, leftovers := visible(t, s)
		if want := 1; err == nil && len(versions) != 2 || err != nil && len(versions) != want || leftovers != nil {
			t.Errorf("%v, but %q %q", err, versions, leftovers)
		}
	})
}

// FuzzUnpack takes batches apart: whatever they claim, no more than maxChunk
// bytes come out.
func FuzzUnpack(f *testing.F) {
	steps, data := honest().steps()
	f.Add(plainBatch(steps, data))
	enc, err := zstd.NewWriter(nil)
	must(f, err)
	text := strings.Repeat("hello ", 1000)
	f.Add(batchOf(wire.ContentZstd, len(text), 1000, steps, enc.EncodeAll([]byte(text), nil)))
	f.Add(zipped(100, steps, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa4, 0xff, 0xff, 0xff, 0xff, 1, 0, 0}))
	dec, err := wire.NewDecoder()
	must(f, err)
	buf := make([]byte, 0, chunk.MaxSize)
	f.Fuzz(func(t *testing.T, payload []byte) {
		u, err := wire.DecodeBatch(payload, dec, buf)
		if err == nil && (len(u.Data)+u.Dense > chunk.MaxSize || len(u.Steps) > len(payload)) {
			t.Errorf("%d and %d bytes of content, %d of steps out of %d", len(u.Data), u.Dense, len(u.Steps), len(payload))
		}
	})
}

// FuzzHave feeds a list of chunks to a sender, and what may follow on it.
func FuzzHave(f *testing.F) {
	f.Add([]byte(message(wire.FrameHave, "12345678") + frame(wire.FrameHave, 0, "") + message(wire.FrameWant, `{"files":[]}`)))
	f.Add([]byte(message(wire.FrameHave, "1234567") + frame(wire.FrameHave, 0, "")))
	f.Add([]byte(frame(wire.FrameHave, 0, "") + message(wire.FrameWant, `{"files":[0,-1,3]}`) + message(wire.FrameWant, `{"files":[1]}`)))
	same := message(wire.FrameSame, "")
	f.Add([]byte(same + frame(wire.FrameHave, 0, "") + message(wire.FrameWant, `{"files":[]}`)))
	f.Add([]byte(same + message(wire.FrameHave, "12345678") + frame(wire.FrameHave, 0, "") + message(wire.FrameWant, `{"files":[1]}`)))
	f.Add([]byte(same + same + message(wire.FrameHave, "12345678") + same + message(wire.FrameSame, "x")))
	s := newStore(f)
	data := fileTree{"large": noise(7, 3*chunk.LargeFile)}
	maps.Copy(data, sample)
	foreign(f, s, "xdata_1_20260228000000", data, baseTime.Add(-time.Hour))
	before, _, err := s.Newest(1)
	must(f, err)
	read, err := s.openVersion(observed{Version: before})
	must(f, err)
	must(f, read.ReadAll(context.Background()))
	read.Close()
	data["large"] = "more" + data["large"]
	foreign(f, s, "xdata_1_20260301000000", data, baseTime)
	v, _, err := s.Newest(1)
	must(f, err)
	f.Fuzz(func(t *testing.T, stream []byte) {
		opened, err := s.openVersion(observed{Version: v})
		must(t, err)
		defer opened.Close()
		_ = sending(opened, wire.NewLink(bytes.NewReader(stream), io.Discard), nil, nil).Send(context.Background())
	})
}

// FuzzRequests feeds whole conversations to a server.
func FuzzRequests(f *testing.F) {
	open := message(wire.FrameOpen, `{"lim":1,"side":"standby"}`)
	f.Add([]byte(frame(wire.FrameClock, 0, "") + open + frame(wire.FrameDigest, 0, "") + frame(wire.FrameBye, 0, "")))
	f.Add([]byte(open + frame(wire.FramePull, 0, "") + frame(wire.FrameHave, 0, "") + message(wire.FrameWant, "{}") + frame(wire.FrameBye, 0, "")))
	f.Add([]byte(open + frame(wire.FramePush, 0, "") + string(honest().bytes(f)) + frame(wire.FrameBye, 0, "")))
	f.Add([]byte(message(wire.FrameError, `{"code":3}`)))
	addDialogues(f, ".client")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, stream []byte) {
		parent, err := os.MkdirTemp(dir, "")
		must(t, err)
		defer os.RemoveAll(parent)
		s := &Store{Dir: filepath.Join(parent, "xdata"), Still: AtOnce}
		foreign(t, s, "xdata_1_20260228000000", fileTree{"f": "hello"}, baseTime.Add(-time.Hour))
		_ = Serve(context.Background(), s, bytes.NewReader(stream), io.Discard, ServeOptions{})
		versions, _ := visible(t, s)
		if len(versions) == 0 {
			t.Error("the old version is gone")
		}
		beside, err := os.ReadDir(parent)
		must(t, err)
		if len(beside) != 1 {
			t.Errorf("outside of the store: %v", beside)
		}
	})
}

// FuzzAnswers feeds whole conversations to a client.
func FuzzAnswers(f *testing.F) {
	hello := message(wire.FrameGreeting, fmt.Sprintf(`{"magic":"mxcluster-xdata","version":%d}`, wire.Spoken.Newest)) + message(wire.FrameClock, `{"now":"`+baseTime.Format(time.RFC3339Nano)+`"}`)
	summaryOf := func(mtime time.Time) string {
		b, err := json.Marshal(wire.Summary{Name: "xdata_1_20260301020000", Mtime: manifest.Nanoseconds(mtime), Files: 1, Bytes: 5})
		must(f, err)
		return message(wire.FrameOpen, string(b))
	}
	f.Add([]byte(hello + summaryOf(baseTime) + string(honest().bytes(f)) + message(wire.FrameDone, "{}")))
	f.Add([]byte(hello + summaryOf(baseTime) + string(honestHoles().bytes(f)) + message(wire.FrameDone, "{}")))
	f.Add([]byte(hello + summaryOf(baseTime.Add(-2*time.Hour)) + frame(wire.FrameHave, 0, "") + message(wire.FrameWant, "{}") + message(wire.FrameDone, `{"name":"x"}`) + message(wire.FrameDone, "{}")))
	f.Add([]byte(hello + message(wire.FrameOpen, `{"digest":"AAAA"}`) + message(wire.FrameDigest, `{"digest":"AAAA"}`)))
	addDialogues(f, ".server")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, stream []byte) {
		parent, err := os.MkdirTemp(dir, "")
		must(t, err)
		defer os.RemoveAll(parent)
		s := &Store{Dir: filepath.Join(parent, "xdata"), Still: AtOnce, Now: func() time.Time { return baseTime }}
		must(t, os.Mkdir(s.Dir, 0o755))
		v := foreign(t, s, "xdata_1_20260228000000", fileTree{"f": "hello"}, baseTime.Add(-time.Hour))
		past := time.Unix(0, 0)
		s.Still = AtOnce
		must(t, os.Chtimes(v, past, past))
		_, _ = Sync(context.Background(), s, recorded{bytes.NewReader(stream)}, Request{LIM: 1, Side: clusterconf.SideStandby})
		if versions, _ := visible(t, s); len(versions) == 0 {
			t.Error("the old version is gone")
		}
	})
}

// FuzzIndex reads what may lie beside a version after a bad day.
func FuzzIndex(f *testing.F) {
	m := &manifest.Manifest{Entries: honest().entries}
	m.Chunks = []chunk.Chunk{chunk.Of([]byte("hello")), chunk.Hole(chunk.MaxHole)}
	m.Entries[1].Count = 2
	m.Entries[1].Attr.Xattrs = userExtra
	good := manifest.EncodeIndex(m)
	f.Add(good)
	f.Add(good[:len(good)-1])
	for _, in := range compat.Recorded(f, "store") {
		if strings.Contains(in.Name, indexPrefix) {
			f.Add(in.Content)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Also with the right hash, which chance would not find.
		for _, b := range [][]byte{b, reseal(b)} {
			m, err := manifest.DecodeIndex(b)
			if err != nil {
				continue
			}
			for i := range m.Entries {
				if e := &m.Entries[i]; !e.Dir && len(m.ChunksOf(e)) != e.Count {
					t.Errorf("%+v", e)
				}
			}
			if again, err := manifest.DecodeIndex(manifest.EncodeIndex(m)); err != nil || len(again.Entries) != len(m.Entries) {
				t.Error(err)
			}
		}
	})
}

// reseal gives the body of an index the hash that it should have.
func reseal(b []byte) []byte {
	body := b[:max(0, len(b)-len(chunk.Digest{}))]
	sum := chunk.Sum(body)
	return append(bytes.Clone(body), sum[:]...)
}

// Whatever list of files is let through, every path in it stays inside, comes
// once, and comes after its folder.
func FuzzAdmission(f *testing.F) {
	seed := func(entries ...manifest.Entry) {
		var b []byte
		for i := range entries {
			b = manifest.AppendEntry(b, &entries[i])
		}
		f.Add(b)
	}
	seed(honest().entries...)
	seed(manifest.Entry{Path: "a", Dir: true}, manifest.Entry{Path: "a/../b"}, manifest.Entry{Path: "/etc"})
	f.Fuzz(func(t *testing.T, list []byte) {
		a := manifest.Admit(manifest.Announced{Entries: 1000, Bytes: 1 << 40})
		bytes, count := int64(0), 0
		seen := map[string]bool{".": true} // path -> is a folder
		for len(list) > 0 {
			e, rest, err := manifest.DecodeEntry(list)
			if err != nil || a.Admit(&e) != nil {
				return
			}
			if len(rest) >= len(list) {
				t.Fatal("no progress")
			}
			list = rest
			if _, twice := seen[e.Path]; twice || !seen[filepath.Dir(e.Path)] || e.Size < 0 {
				t.Errorf("admitted %+v", e)
			}
			if !filepath.IsLocal(e.Path) || filepath.Clean(e.Path) != e.Path || e.Attr.Mode&0o4000 != 0 {
				t.Errorf("admitted %+v", e)
			}
			seen[e.Path] = e.Dir
			bytes, count = bytes+e.Size, count+1
		}
		if bytes > 1<<40 || count > 1000 {
			t.Errorf("admitted %d bytes, %d entries", bytes, count)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(frame(wire.FrameHave, 3, "abc") + frame(wire.FrameBye, 0, "")))
	f.Add(honest().bytes(f))
	addDialogues(f, ".client")
	addDialogues(f, ".server")
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := wire.NewLink(bytes.NewReader(stream), nil)
		var out bytes.Buffer
		copied := wire.NewLink(nil, &out)
		for {
			kind, payload, err := in.Next()
			if err != nil {
				break
			}
			must(t, copied.Put(kind, payload))
		}
		must(t, copied.Flush())
		if !bytes.HasPrefix(withoutKeepalives(stream), out.Bytes()) || int64(out.Len()) != in.BytesRead {
			t.Error("frames read are not those that were sent")
		}
	})
}

// withoutKeepalives leaves out of a stream the frames that nobody is handed.
func withoutKeepalives(stream []byte) (out []byte) {
	for keepalive := []byte(frame(17, 0, "")); ; {
		if rest, is := bytes.CutPrefix(stream, keepalive); is {
			stream = rest
			continue
		}
		size := len(stream)
		if size >= len(keepalive) {
			size = min(size, len(keepalive)+int(binary.BigEndian.Uint32(stream[1:])))
		}
		if out = append(out, stream[:size]...); size == len(stream) {
			return out
		}
		stream = stream[size:]
	}
}
