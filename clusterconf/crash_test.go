package clusterconf

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// editorEnv makes the test binary a child that edits the document in the
// folder named by the variable until it is killed, or as often as limitEnv says.
const (
	editorEnv = "CLUSTERCONF_TEST_EDITOR"
	limitEnv  = "CLUSTERCONF_TEST_LIMIT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(editorEnv); dir != "" {
		limit, err := strconv.Atoi(os.Getenv(limitEnv))
		if err == nil {
			err = editor(storeIn(dir), limit)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// editor writes a line and then edits. Every edit depends on the revision, so
// that a mixture of two documents would show.
func editor(s *Store, limit int) error {
	fmt.Println("ready")
	for range limit {
		if _, err := s.Edit(context.Background(), ordered, nextEdit); err != nil {
			return err
		}
	}
	return nil
}

func nextEdit(d *Document) error {
	return d.SetServices(1, []Service{{Run: service(d.Revision + 1)}})
}

func service(revision uint64) string { return fmt.Sprintf("exec:/opt/%d", revision) }

// startEditor starts a child and waits until it begins.
func startEditor(t *testing.T, s *Store, limit int) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), editorEnv+"="+filepath.Dir(filepath.Dir(s.Path)), limitEnv+"="+strconv.Itoa(limit))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return cmd, lines
}

// consistent checks that a document is one that was written, as a whole.
func consistent(t *testing.T, d *Document) {
	t.Helper()
	if d.Revision > 1 && d.LIM(1).Services[0].Run != service(d.Revision) {
		t.Errorf("revision %d has %s", d.Revision, d.LIM(1).Services[0].Run)
	}
}

// noGaps checks that history has every revision before the last, each whole.
func noGaps(t *testing.T, s *Store, last uint64) {
	t.Helper()
	for revision := uint64(1); revision < last; revision++ {
		name := filepath.Join(s.HistoryDir, fmt.Sprintf("%08d.yaml", revision))
		d, err := Parse(name, []byte(readFile(t, name)))
		if err != nil || d.Revision != revision {
			t.Errorf("history of revision %d: %v", revision, err)
			continue
		}
		consistent(t, d)
	}
}

// A writer that is killed at any moment leaves the old or the new document,
// and the next one can go on.
func TestStoreSurvivesKills(t *testing.T) {
	s := newStore(t)
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	last := uint64(1)
	for range rounds {
		cmd, _ := startEditor(t, s, 1<<30)
		<-time.After(rand.N(15 * time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
		}
		d := mustRead(t, s)
		consistent(t, d)
		if d.Revision < last {
			t.Fatalf("revision %d came after %d", d.Revision, last)
		}
		result, err := s.Edit(context.Background(), ordered, nextEdit)
		if err != nil {
			t.Fatalf("edit after a kill: %v", err)
		}
		last = result.After.Revision
	}
	noGaps(t, s, last)
	if got := names(t, filepath.Dir(s.Path)); len(got) != 2 {
		t.Errorf("files left behind: %v", got)
	}
	t.Logf("%d kills, %d revisions", rounds, last)
}

// All edits arrive, whoever makes them at the same time, and readers never see
// anything but a whole document.
func TestStoreConcurrentEdits(t *testing.T) {
	const goroutines, processes, editsEach = 50, 4, 5
	s := newStore(t)
	stop, reader := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				reader <- nil
				return
			default:
			}
			if _, err := s.Read(); err != nil {
				reader <- err
				return
			}
		}
	}()
	var editors sync.WaitGroup
	for range goroutines {
		editors.Go(func() {
			own := storeIn(filepath.Dir(filepath.Dir(s.Path)))
			if _, err := own.Edit(context.Background(), ordered, nextEdit); err != nil {
				t.Error(err)
			}
		})
	}
	for range processes {
		cmd, lines := startEditor(t, s, editsEach)
		editors.Go(func() {
			said, _ := lines.ReadString(0)
			if err := cmd.Wait(); err != nil {
				t.Errorf("child: %v: %s", err, said)
			}
		})
	}
	editors.Wait()
	close(stop)
	if err := <-reader; err != nil {
		t.Errorf("a reader met: %v", err)
	}
	d := mustRead(t, s)
	consistent(t, d)
	if want := uint64(1 + goroutines + processes*editsEach); d.Revision != want {
		t.Errorf("revision %d, want %d", d.Revision, want)
	}
	noGaps(t, s, d.Revision)
}
