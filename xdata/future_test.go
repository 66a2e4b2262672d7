package xdata

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/compat"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/wire"
)

// sent is a frame of a recorded sync.
type sent struct {
	kind    wire.FrameType
	payload []byte
}

func framed(frames []sent) (stream []byte) {
	for _, s := range frames {
		stream = append(stream, message(s.kind, string(s.payload))...)
	}
	return stream
}

// withKeys adds what only a later version knows to each object of some JSON; ok is false where it is
// none.
func withKeys(t *testing.T, text []byte) (changed []byte, ok bool) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if d.Decode(&v) != nil {
		return nil, false
	}
	var add func(v any)
	add = func(v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for _, inner := range m {
			add(inner)
		}
		m["later"] = map[string]any{"a": []int{1}}
	}
	add(v)
	changed, err := json.Marshal(v)
	must(t, err)
	return changed, true
}

// One frame after the other of a recorded sync is one of a later version, for who asks and for who
// is asked: what is added to it is passed over; a frame of a kind that is not known, or one that is
// left out, ends the sync with an error that names it, and what was there is there, whole.
func TestTransferFramesOfTheFuture(t *testing.T) {
	streams := map[string][]sent{}
	for _, in := range compat.Recorded(t, "transfer") {
		if strings.HasSuffix(in.Name, ".client") || strings.HasSuffix(in.Name, ".server") {
			var frames []sent
			for l := wire.NewLink(bytes.NewReader(in.Content), io.Discard); ; {
				kind, payload, err := l.Next()
				if err != nil {
					break
				}
				frames = append(frames, sent{kind, bytes.Clone(payload)})
			}
			streams[in.Release+"/"+in.Name] = frames
		}
	}
	for name, frames := range streams {
		t.Run(name, func(t *testing.T) {
			all, want := []sent{}, play(t, name, framed(frames), streams)
			if want.err != nil || want.versions == 0 {
				t.Fatalf("as it was recorded: %+v", want)
			}
			for i, s := range frames {
				if s.kind == wire.FrameGreeting { // it begins as in every version
					s.payload = append(bytes.TrimSuffix(bytes.Clone(s.payload), []byte("}")), `,"later":{"a":[1]}}`...)
				} else if changed, ok := withKeys(t, s.payload); ok {
					s.payload = changed
				}
				all = append(all, s)
				one := slices.Clone(frames)
				one[i] = s
				if got := play(t, name, framed(one), streams); got.err != nil || got.versions != want.versions {
					t.Errorf("with more in frame %d, of kind %d: %+v", i, s.kind, got)
				}
				if got := play(t, name, framed(slices.Insert(slices.Clone(frames), i, sent{99, []byte(`{"later":1}`)})), streams); i > 0 && (got.err == nil || !said(got.err) || !strings.Contains(got.err.Error(), "message 99")) {
					t.Errorf("with a frame of kind 99 before frame %d, of kind %d: %+v", i, s.kind, got)
				}
				if got := play(t, name, framed(slices.Delete(slices.Clone(frames), i, i+1)), streams); got.err != nil && !said(got.err) {
					t.Errorf("without frame %d, of kind %d: %+v", i, s.kind, got)
				}
			}
			if got := play(t, name, framed(all), streams); got.err != nil || got.versions != want.versions {
				t.Errorf("with more in each frame: %+v", got)
			}
		})
	}
}

// said tells whether an error is in words for people: of one line, and with a code.
func said(err error) bool {
	return fault.CodeOf(err) != fault.OK && !strings.ContainsAny(err.Error(), "\n\x00") && len(err.Error()) > 10
}

// played is what came of a recorded sync.
type played struct {
	versions int
	err      error
}

// play plays one side of a recorded sync against this version, which has the data of the other one.
// All that is there afterwards is whole.
func play(t *testing.T, name string, stream []byte, streams map[string][]sent) played {
	t.Helper()
	release, what, _ := strings.Cut(name, "/")
	what, who, _ := strings.Cut(what, "/")
	asked := strings.HasSuffix(who, ".server") // it plays who was asked: this version asks
	both := strings.TrimSuffix(strings.TrimSuffix(name, ".client"), ".server")
	var clock wire.Clock
	var head wire.VersionHead
	pushed := false
	for _, side := range []string{".client", ".server"} {
		for _, f := range streams[both+side] {
			switch {
			case f.kind == wire.FrameClock && side == ".server":
				must(t, json.Unmarshal(f.payload, &clock))
			case f.kind == wire.FrameHead:
				must(t, json.Unmarshal(f.payload, &head))
				pushed = side == ".client"
			}
		}
	}
	s := storeBefore(t, release, what)
	sends := pushed == asked // this version is the one that sends
	if sends {
		s = regularAt(t, release, head.Name)
	}
	before, _ := visible(t, s)
	s.Now = func() time.Time { return clock.Now }
	var err error
	if asked {
		side := map[bool]clusterconf.Side{true: clusterconf.SideRegular, false: clusterconf.SideStandby}[pushed]
		_, err = Sync(context.Background(), s, recorded{bytes.NewReader(stream)}, Request{LIM: 1, Side: side})
	} else {
		err = Serve(context.Background(), s, bytes.NewReader(stream), io.Discard, ServeOptions{})
	}
	after, leftovers := visible(t, s)
	for _, v := range before {
		if !slices.Contains(after, v) && !slices.Contains(after, head.Name) { // once a newer one is there, old ones are pruned
			t.Errorf("version %s is gone", v)
		}
	}
	versions, listErr := s.List(1)
	must(t, listErr)
	for _, v := range versions {
		if found, err := s.Verify(context.Background(), v, nil); err != nil || found.Result != Intact {
			t.Errorf("%s is %+v, %v", v.Name, found, err)
		}
	}
	if leftovers != nil {
		t.Errorf("left are %q", leftovers)
	}
	return played{len(after), err}
}

// A store of a later version, after a downgrade: indexes are made anew, what is added to notes is
// passed over, and notes in another form count as none; the data are whole, and a backup follows them.
func TestStoresOfTheFuture(t *testing.T) {
	changes := map[string]func(t *testing.T, name string, text []byte) []byte{
		"indexes of another format": func(_ *testing.T, name string, text []byte) []byte {
			if !strings.HasPrefix(name, indexPrefix) {
				return nil
			}
			body := bytes.Replace(text[:len(text)-len(chunk.Digest{})], []byte("index-4"), []byte("index-5"), 1)
			sum := chunk.Sum(body)
			return append(body, sum[:]...)
		},
		"more in notes": func(t *testing.T, name string, text []byte) []byte {
			t.Helper()
			line, _, _ := bytes.Cut(text, []byte("\n"))
			changed, ok := withKeys(t, line)
			if !ok || strings.HasPrefix(name, indexPrefix) {
				return nil
			}
			if filepath.Base(name) == ".mxcluster-lineage" {
				sum := chunk.Sum(changed)
				return fmt.Appendf(nil, "%s\n%s\n", changed, hex.EncodeToString(sum[:]))
			}
			return changed
		},
		"notes of another form": func(_ *testing.T, name string, _ []byte) []byte {
			if !strings.HasSuffix(name, ".json") {
				return nil
			}
			return []byte(`{"format":9,"node":{"name":["x"]},"noted":12,"given":{},"lim":"one"}`)
		},
	}
	for _, release := range releases(t) {
		for _, what := range slices.Sorted(maps.Keys(changes)) {
			t.Run(release+"/"+what, func(t *testing.T) {
				s := storeOf(t, release, "store/regular")
				before, err := s.List(1)
				must(t, err)
				changed := 0
				must(t, filepath.WalkDir(s.Dir, func(name string, d os.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					text, err := os.ReadFile(name)
					must(t, err)
					info, err := d.Info()
					must(t, err)
					above, err := os.Stat(filepath.Dir(name))
					must(t, err)
					rel, err := filepath.Rel(s.Dir, name)
					must(t, err)
					if is := changes[what](t, rel, text); is != nil {
						must(t, os.WriteFile(name, is, info.Mode()))
						must(t, os.Chtimes(name, info.ModTime(), info.ModTime()))
						must(t, os.Chtimes(filepath.Dir(name), above.ModTime(), above.ModTime()))
						changed++
					}
					return nil
				}))
				if changed < 3 {
					t.Fatalf("changed are %d files", changed)
				}
				anew := strings.HasPrefix(what, "indexes")
				after, err := s.List(1)
				must(t, err)
				if len(after) != len(before) {
					t.Fatalf("there are %d versions, were %d", len(after), len(before))
				}
				for i, v := range after {
					found, err := s.Verify(context.Background(), v, nil)
					if err != nil || found.Result != Intact && (found.Result != Recorded || !anew) || !v.Complete || v.line.Node != before[i].line.Node {
						t.Errorf("version %s: %+v, %v", v.Name, found, err)
					}
				}
				newest, _, err := s.Newest(1)
				must(t, err)

				// A copy says of itself all that the version does.
				p := pair{clusterconf.SideRegular: s, clusterconf.SideStandby: newStore(t)}
				s.Now = func() time.Time { return newest.NewestMtime.Add(time.Hour) }
				p[clusterconf.SideStandby].Now = s.Now
				res, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
				must(t, err)
				if res.Result != Copied {
					t.Errorf("it is synchronised with the result %+v", res)
				}
				record := filepath.Join(newest.Name, ".mxcluster-lineage")
				own, err := os.ReadFile(filepath.Join(s.Dir, record))
				must(t, err)
				copied, err := os.ReadFile(filepath.Join(p[clusterconf.SideStandby].Dir, record))
				must(t, err)
				if !bytes.Equal(own, copied) {
					t.Errorf("the record is\n%s, that of the copy\n%s", own, copied)
				}

				from := filepath.Join(t.TempDir(), "data")
				sample.write(t, from, baseTime)
				v, err := s.Backup(context.Background(), 1, from)
				must(t, err)
				if v.line.Ancestors[0] != newest.line.Node {
					t.Errorf("it follows %v, not %v", v.line.Ancestors, newest.line.Node)
				}
			})
		}
	}
}
