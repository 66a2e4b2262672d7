package agent

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
)

// A disk that is full, has no inodes or is read-only: each is seen beforehand, takes no
// state, leaves what was there, keeps no document out, and is well again afterwards.
func TestDisksThatTakeNothing(t *testing.T) {
	for name, c := range map[string]struct {
		options     string
		spoil, mend func(dir string) error
		says        string
		want        error
	}{
		"full": {"size=2m", fillBytes, func(dir string) error { return os.Remove(filepath.Join(dir, "filler")) }, "is full", unix.ENOSPC},
		"no inodes": {"size=2m,nr_inodes=40", fillInodes, func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "fill")))
		}, "has no inodes left", unix.ENOSPC},
		"read-only": {"size=2m", func(dir string) error { return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
			func(dir string) error { return unix.Mount("", dir, "", unix.MS_REMOUNT, "") }, "is read-only", unix.EROFS},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			onSmallDisk(t, dir, c.options, func() {
				s := DiskState{Path: filepath.Join(dir, "agent.json"), Kept: filepath.Join(dir, "kept.json"), Boot: "b"}
				before, after := stateUnder(1), stateUnder(2)
				etc := t.TempDir()
				store := &clusterconf.Store{Path: filepath.Join(etc, "cluster.yaml"), HistoryDir: filepath.Join(dir, "history"), Now: time.Now}
				doc := worldDocument(clusterconf.FallbackManual)
				log := &events.Log{Path: filepath.Join(dir, "events")}
				noError(t, s.Save(before), s.Keep(before), roomIn(dir, etc), store.Create(t.Context(), doc), c.spoil(dir))
				if err := roomIn(dir, etc); err == nil || !strings.Contains(err.Error(), dir) || !strings.HasSuffix(err.Error(), c.says) {
					t.Errorf("looking at it: %v; want %q", err, c.says)
				}
				for _, write := range []func(persisted) error{s.Save, s.Keep} {
					first, second := write(after), write(after)
					if !errors.Is(first, c.want) || first.Error() != second.Error() || strings.Contains(first.Error(), "\n") {
						t.Errorf("writing to it: %v, then %v; want %v, and the same words", first, second, c.want)
					}
				}
				if got, err := s.Load(); err != nil || got.LIMs[1].Term != 1 {
					t.Errorf("read from it: %+v, %v", got, err)
				}
				if err := log.Append([]events.Event{{Time: epoch, Server: "sb1", Text: "one"}}); !errors.Is(err, c.want) {
					t.Errorf("an event: %v", err)
				}
				doc.Revision++
				if res, err := store.Adopt(t.Context(), clusterconf.Freeze(doc)); err != nil || !res.Adopted || !errors.Is(res.Unkept, c.want) {
					t.Errorf("a document without room for history: %+v, %v", res, err)
				}
				noError(t, c.mend(dir), roomIn(dir, etc), s.Save(after), s.Keep(after), log.Append(nil))
				if got, err := s.Load(); err != nil || got.LIMs[1].Term != 2 {
					t.Errorf("read afterwards: %+v, %v", got, err)
				}
				if found, _, err := (&events.Log{Path: log.Path}).Read(events.Query{}); err != nil || len(found) != 1 {
					t.Errorf("events afterwards: %+v, %v", found, err)
				}
				if left, err := filepath.Glob(filepath.Join(dir, ".agent*")); err != nil || left != nil {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		})
	}
}

func stateUnder(term uint64) persisted {
	return persisted{Version: stateVersion, Number: term, Boot: "b", LIMs: map[int]persistedLIM{1: {Term: term}}}
}

func noError(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func fillBytes(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		return errors.Join(errors.New("the disk is not full"), err)
	}
	return nil
}

func fillInodes(dir string) error {
	err := os.Mkdir(filepath.Join(dir, "fill"), 0o700)
	for i := 0; err == nil; i++ {
		err = os.WriteFile(filepath.Join(dir, "fill", strconv.Itoa(i)), nil, 0o600)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

// onSmallDisk runs fn in a mount namespace in which dir is a small disk of its own.
func onSmallDisk(t *testing.T, dir, options string, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("needs root: it mounts a disk")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its mounts with it
		defer close(done)      // also when a helper calls t.FailNow
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, options))
		if err != nil {
			done <- err
			return
		}
		fn()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
