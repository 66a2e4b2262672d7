package xdata

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/compat"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// regularAt is the recorded store of the regular side as it was when a version was its newest, and
// had not been synchronised.
func regularAt(t *testing.T, release, newest string) *Store {
	t.Helper()
	s := storeOf(t, release, "store/regular")
	all, err := s.List(1)
	must(t, err)
	for _, v := range all {
		if v.Name > newest {
			must(t, os.RemoveAll(v.Path))
		}
	}
	must(t, os.Remove(filepath.Join(s.Dir, ".head-1.json")))
	must(t, os.Remove(filepath.Join(s.Dir, ".pair-1.json")))
	return s
}

// storeOf is a store that an earlier version left, with times and modes as its indexes say them.
func storeOf(t *testing.T, release, folder string) *Store {
	t.Helper()
	s := newStore(t)
	must(t, os.MkdirAll(s.Dir, 0o755))
	indexes := map[string][]byte{}
	for _, in := range compat.Recorded(t, folder) {
		if in.Release != release {
			continue
		}
		name := filepath.Join(s.Dir, in.Name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, in.Content, 0o600))
		if version, ok := strings.CutPrefix(in.Name, indexPrefix); ok {
			indexes[version] = in.Content
		}
	}
	for version, b := range indexes {
		m, err := manifest.DecodeIndex(b)
		must(t, err)
		entries := append([]manifest.Entry{{Path: ".", Dir: true, Attr: m.Top}}, m.Entries...)
		for _, e := range slices.Backward(entries) {
			name := filepath.Join(s.Dir, version, e.Path)
			must(t, os.Chmod(name, os.FileMode(e.Attr.Mode)))
			must(t, os.Chtimes(name, time.Unix(0, e.Attr.Mtime), time.Unix(0, e.Attr.Mtime)))
		}
	}
	return s
}

// releases are those of which stores are recorded.
func releases(t testing.TB) (all []string) {
	t.Helper()
	for _, in := range compat.Recorded(t, "store") {
		all = append(all, in.Release)
	}
	return slices.Compact(all)
}

// What earlier versions noted of data versions is read with all that it says.
func TestNotesOfEarlierVersions(t *testing.T) {
	seen := map[string]int{}
	compat.Each(t, append(compat.Recorded(t, "store"), compat.Recorded(t, "sync")...), func(t *testing.T, in compat.Input) {
		base := path.Base(in.Name)
		var kind string
		var v any
		switch {
		case strings.HasPrefix(base, indexPrefix):
			m, err := manifest.DecodeIndex(in.Content)
			must(t, err)
			if again := manifest.EncodeIndex(m); len(m.Entries) < 3 || len(m.Chunks) < 2 || !bytes.Equal(again, in.Content) {
				t.Errorf("%d entries and %d chunks, and it is encoded in %d bytes, not %d", len(m.Entries), len(m.Chunks), len(again), len(in.Content))
			}
			seen["index"]++
			return
		case base == ".mxcluster-lineage":
			r := manifest.DecodeRecord(in.Content)
			if r == nil {
				t.Fatal("it is not valid")
			}
			again, err := r.Encode()
			must(t, err)
			if !r.Made || r.Node.IsZero() || r.MadeAt.IsZero() || !bytes.Equal(again, in.Content) {
				t.Errorf("it says %+v, and is encoded as %s", r, again)
			}
			seen["record"]++
			return
		case strings.HasPrefix(base, markPrefix):
			kind, v = "mark", &mark{}
		case strings.HasPrefix(base, ".head-"):
			f := limFiles{dir: t.TempDir(), lim: 1}
			must(t, os.WriteFile(f.headPath(), in.Content, 0o600))
			head, err := f.head()
			must(t, err)
			kind, v = "head", head
		case strings.HasPrefix(base, ".pair-"):
			kind, v = "pair", &pairState{}
		case strings.HasPrefix(base, "lim-"):
			kind, v = "sync", &Record{}
		default:
			return // data
		}
		must(t, json.Unmarshal(in.Content, v))
		is, err := json.Marshal(v)
		must(t, err)
		if lost := compat.Lost(t, in.Content, is); lost != nil {
			t.Errorf("lost are %q", lost)
		}
		seen[kind]++
	})
	for _, kind := range []string{"index", "record", "mark", "head", "pair", "sync"} {
		if seen[kind] < len(releases(t)) {
			t.Errorf("of %d releases %d files of kind %s are recorded", len(releases(t)), seen[kind], kind)
		}
	}
}

// Data versions that earlier versions made are whole, and the next backup follows the newest.
func TestStoresOfEarlierVersions(t *testing.T) {
	for _, release := range releases(t) {
		for _, side := range []string{"regular", "standby"} {
			t.Run(release+"/"+side, func(t *testing.T) {
				s := storeOf(t, release, "store/"+side)
				all, err := s.List(1)
				must(t, err)
				if len(all) < 2 {
					t.Fatalf("there are %+v", all)
				}
				for _, v := range all {
					found, err := s.Verify(context.Background(), v, nil)
					if err != nil || found.Result != Intact || !v.Complete || !v.line.Made {
						t.Errorf("version %+v: %+v, %v", v, found, err)
					}
				}
				before, _, err := s.Newest(1)
				must(t, err)
				from := filepath.Join(t.TempDir(), "data")
				sample.write(t, from, baseTime)
				v, err := s.Backup(context.Background(), 1, from)
				must(t, err)
				if len(v.line.Ancestors) != len(before.line.Ancestors)+1 || v.line.Ancestors[0] != before.line.Node {
					t.Errorf("it follows %v, not %v", v.line.Ancestors, before.line.Node)
				}
			})
		}
	}
}

// framesOf are the messages of one side of a dialogue.
func framesOf(t *testing.T, stream []byte) map[wire.FrameType][]byte {
	t.Helper()
	all := map[wire.FrameType][]byte{}
	for l := wire.NewLink(bytes.NewReader(stream), io.Discard); ; {
		kind, payload, err := l.Next()
		if err != nil {
			return all
		}
		all[kind] = bytes.Clone(payload)
	}
}

// A version that an earlier version sends is received, whoever asks; and what it answers to one
// that is sent is understood.
func TestDialoguesOfEarlierVersions(t *testing.T) {
	dialogs := map[string][]byte{}
	var names []string
	for _, in := range compat.Recorded(t, "transfer") {
		if strings.Contains(in.Name, "/asked-by-") {
			key := path.Join(in.Release, in.Name)
			dialogs[key] = in.Content
			if strings.HasSuffix(key, ".client") {
				names = append(names, strings.TrimSuffix(key, ".client"))
			}
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			release, what := strings.Split(name, "/")[0], strings.Split(name, "/")[1]
			client, server := framesOf(t, dialogs[name+".client"]), framesOf(t, dialogs[name+".server"])
			var clock wire.Clock
			must(t, json.Unmarshal(server[wire.FrameClock], &clock))
			pushed := client[wire.FrameHead] != nil
			var head wire.VersionHead
			must(t, json.Unmarshal(map[bool][]byte{true: client[wire.FrameHead], false: server[wire.FrameHead]}[pushed], &head))

			received := storeBefore(t, release, what)
			received.Now = func() time.Time { return clock.Now }
			if pushed {
				must(t, Serve(context.Background(), received, bytes.NewReader(dialogs[name+".client"]), io.Discard, ServeOptions{}))
			} else {
				result, err := Sync(context.Background(), received, recorded{bytes.NewReader(dialogs[name+".server"])}, Request{LIM: 1, Side: clusterconf.SideStandby})
				if err != nil || result.Result != Copied || result.Version != head.Name {
					t.Fatalf("%+v, %v", result, err)
				}
			}
			v, _, err := received.Newest(1)
			must(t, err)
			if found, err := received.Verify(context.Background(), v, nil); err != nil || found.Result != Intact || v.Name != head.Name || v.line.Node != head.Record.Node || v.Bytes != head.Bytes {
				t.Errorf("received is %+v: %+v, %v", v, found, err)
			}

			// The other side of the same dialogue.
			sent := regularAt(t, release, head.Name)
			sent.Now = received.Now
			if !pushed {
				must(t, Serve(context.Background(), sent, bytes.NewReader(dialogs[name+".client"]), io.Discard, ServeOptions{}))
				return
			}
			result, err := Sync(context.Background(), sent, recorded{bytes.NewReader(dialogs[name+".server"])}, Request{LIM: 1, Side: clusterconf.SideRegular})
			if err != nil || result.Result != Copied || result.Version != head.Name {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
	if len(names) < 3*len(releases(t)) {
		t.Errorf("recorded are %q", names)
	}
}

// storeBefore is the receiver's store before a dialogue.
func storeBefore(t *testing.T, release, what string) *Store {
	t.Helper()
	folder := fmt.Sprintf("transfer/%s/standby-before", what)
	if !slices.ContainsFunc(compat.Recorded(t, "transfer"), func(in compat.Input) bool {
		return in.Release == release && strings.HasPrefix("transfer/"+in.Name, folder+"/")
	}) {
		s := newStore(t)
		must(t, os.MkdirAll(s.Dir, 0o755))
		return s
	}
	return storeOf(t, release, folder)
}

// FuzzNotes reads anything as what a store notes of versions.
func FuzzNotes(f *testing.F) {
	for _, in := range append(compat.Recorded(f, "store"), compat.Recorded(f, "sync")...) {
		if base := path.Base(in.Name); strings.HasSuffix(base, ".json") || base == ".mxcluster-lineage" {
			f.Add(in.Content)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		files := limFiles{dir: dir, lim: 1}
		must(t, os.WriteFile(files.headPath(), text, 0o600))
		must(t, os.WriteFile(files.pairPath(), text, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "lim-1.json"), text, 0o600))
		if v, err := files.head(); err != nil || v != nil && (v.Valid() != nil || v.Node.IsZero()) {
			t.Errorf("the head is %+v, %v", v, err)
		}
		if p, err := files.pair(); err != nil || p == nil {
			t.Errorf("the pair is %+v, %v", p, err)
		}
		if r, err := (Records{Dir: dir}).Read(1); err == nil && r.LIM != 1 {
			t.Errorf("the record is %+v", r)
		}
		if r := manifest.DecodeRecord(text); r != nil && r.Valid() != nil {
			t.Errorf("the version's record is %+v", r)
		}
	})
}

// addDialogues gives a target what one side of recorded syncs said.
func addDialogues(f *testing.F, side string) {
	f.Helper()
	for _, in := range compat.Recorded(f, "transfer") {
		if strings.HasSuffix(in.Name, side) {
			f.Add(in.Content)
		}
	}
}
