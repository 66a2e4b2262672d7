package agent

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arbiter"
	"mxcluster/internal/failover"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/sinks"
	"mxcluster/netops"
	"mxcluster/xdata"
)

// Nothing that an agent may call is missing on a real server.
func TestRealDepsAreComplete(t *testing.T) {
	cfg := RunConfig{Documents: &clusterconf.Store{Path: filepath.Join(t.TempDir(), "cluster.yaml")}, StateDir: t.TempDir(),
		Notify: func(string) error { return nil }, ShuttingDown: func(context.Context) bool { return false }, Sync: func(context.Context, int) error { return nil },
		Arbiter: arbiter.New(arbiter.Config{}), OtherSettings: func() string { return "" }, Sinks: make([]sinks.Sink, 1), Management: &half{},
		Rehearse: func(context.Context, rehearsal.Spec) (failover.Rehearsal, error) { return failover.Rehearsal{}, nil }}
	v := reflect.ValueOf(cfg.deps(&netops.Kernel{}))
	for i := range v.NumField() {
		if f := v.Field(i); f.IsZero() {
			t.Errorf("%s is missing", v.Type().Field(i).Name)
		}
	}
}

func TestDiskState(t *testing.T) {
	s := DiskState{Path: filepath.Join(t.TempDir(), "agent.json"), Kept: filepath.Join(t.TempDir(), "agent.json"), Boot: "b2"}
	empty, err := s.Load()
	if err != nil || len(empty.LIMs) != 0 {
		t.Fatalf("before the first run: %+v, %v", empty, err)
	}
	want := persisted{Version: stateVersion, LIMs: map[int]persistedLIM{3: {Term: 7, Active: true, Since: epoch}}, Seen: map[string]time.Time{"srv1": epoch}}
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back: %+v, %v; want %+v", got, err, want)
	}
	later := persisted{Version: stateVersion, Boot: "b2", LIMs: map[int]persistedLIM{3: {Term: 8}}}
	for boot, term := range map[string]uint64{"b2": 8, "b3": 7, "": 7} {
		if err := s.Keep(later); err != nil {
			t.Fatal(err)
		}
		if got, err := (DiskState{Path: s.Path, Kept: s.Kept, Boot: boot}).Load(); err != nil || got.LIMs[3].Term != term {
			t.Errorf("kept in boot b2, read in %q: %+v, %v; want term %d", boot, got, err, term)
		}
	}
	if err := os.WriteFile(s.Kept, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with what was kept damaged: %+v, %v; want what was saved, and an error", got, err)
	}
	for _, text := range []string{"{", `{}`, `{"version":99,"lims":7}`, ""} {
		if err := os.WriteFile(s.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(); err == nil || got.LIMs == nil {
			t.Errorf("state %q: %+v, %v; want an error and a usable empty state", text, got, err)
		}
	}
}

var epoch = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// A version that came is seen at the next look.
func TestDataFinder(t *testing.T) {
	versions := &xdata.Store{Dir: filepath.Join(t.TempDir(), "xdata")}
	find := &dataFinder{versions: versions}
	if d := find.newest(1); d.Newest != nil || d.Path != "" || d.Unseen != "" {
		t.Errorf("without any version: %+v", d)
	}
	from := t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "reload"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		v, err := versions.Backup(t.Context(), 1, from)
		if err != nil {
			t.Fatal(err)
		}
		if d := find.newest(1); d.Unseen != "" || d.Newest == nil || d.Newest.Version != v.Name || d.Path != v.Path {
			t.Errorf("after a backup: %+v; want %s", d, v.Name)
		}
	}
}

// A note about a version that was made right after a look shows at the next one, also on a disk whose
// times do not tell the two apart.
func TestDataFinderSeesMarks(t *testing.T) {
	versions := &xdata.Store{Dir: filepath.Join(t.TempDir(), "xdata")}
	find := &dataFinder{versions: versions}
	from := t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "reload"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := versions.Backup(t.Context(), 1, from)
	if err != nil {
		t.Fatal(err)
	}
	if d := find.newest(1); d.Newest == nil || len(d.Damaged) > 0 {
		t.Fatalf("%+v", d)
	}
	folder := changedAt(versions.Dir)
	file := filepath.Join(v.Path, "reload")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("dat4"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if f, err := versions.Verify(t.Context(), v, nil); err != nil || f.Result != xdata.Damaged {
		t.Fatalf("%+v, %v", f, err)
	}
	if err := os.Chtimes(versions.Dir, folder, folder); err != nil {
		t.Fatal(err)
	}
	if d := find.newest(1); d.Newest != nil || len(d.Damaged) != 1 {
		t.Errorf("after a verification that found damage: %+v", d)
	}
}

func TestWatchFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticks := watchFile(ctx, path)
	if err := os.WriteFile(path+".new", []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ticks:
	case <-ctx.Done():
		t.Error("a file that was replaced was not noticed")
	}
}

// What is asked of an agent before its main loop runs waits for that, and is done.
func TestCallsBeforeTheMainLoop(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		a, err := New(w.config("srv1"), w.deps(w.servers["srv1"]))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		a.post(func() { close(done) })
		pass(time.Second)
		ctx, cancel := context.WithCancel(w.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		<-done
		a.post(a.shutdown.cancel)
		<-ended
		cancel()
	})
}
