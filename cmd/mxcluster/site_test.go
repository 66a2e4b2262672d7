package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"mxcluster/clusterconf"
)

// binDir is where the tests of this package put the program.
var binDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "mxcluster-test-") })

// binary is the program as users have it: unlike the test program it has no race
// detector and makes no system calls of its own.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "mxcluster")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	// Tests run it as other users, too.
	return path, os.Chmod(dir, 0o755)
})

func removeBinary() {
	if dir, err := binDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
}

// site is one server's folders and the program that works on them.
type site struct {
	program string
	dir     string
	store   *clusterconf.Store
}

// newSite makes a server srv1 in dir, with a document unless that is nil.
func newSite(t *testing.T, dir string, d *clusterconf.Document) *site {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{program: program, dir: dir}
	s.store = &clusterconf.Store{Path: s.path("etc/cluster.yaml"), HistoryDir: s.path("var/history")}
	if err := os.MkdirAll(s.path("etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return s
	}
	write(t, s.path("etc/mxcluster.yaml"), "server: srv1\n")
	write(t, s.store.Path, string(clusterconf.Encode(d)))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// command prepares the program with these folders, and nothing of the
// environment that could point elsewhere.
func (s *site) command(line string) *exec.Cmd {
	cmd := exec.Command(s.program, strings.Fields(line)...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "MXCLUSTER_CONFIG_DIR=" + s.path("etc"),
		"MXCLUSTER_STATE_DIR=" + s.path("var"), "MXCLUSTER_RUN_DIR=" + s.path("run"),
	}
	return cmd
}

// run executes a command line to its end.
func (s *site) run(t *testing.T, line string) (code int, out string) {
	t.Helper()
	return finish(t, s.command(line))
}

func finish(t *testing.T, cmd *exec.Cmd) (code int, out string) {
	t.Helper()
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(said)
}

// mustRun executes a command line that has to succeed.
func (s *site) mustRun(t *testing.T, line string) {
	t.Helper()
	if code, out := s.run(t, line); code != 0 {
		t.Fatalf("mxcluster %s: exit code %d\n%s", line, code, out)
	}
}

func (s *site) document(t *testing.T) *clusterconf.Document {
	t.Helper()
	d, err := s.store.Read()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// leftovers lists the files of the server's folders that no command leaves there.
func (s *site) leftovers(t *testing.T) (found []string) {
	t.Helper()
	for folder, known := range map[string][]string{
		"etc": {"cluster.lock", "cluster.yaml", "gossip.key", "mxcluster.yaml"},
		"var": {"history"},
	} {
		for _, name := range names(t, s.path(folder)) {
			if !slices.Contains(known, name) {
				found = append(found, filepath.Join(folder, name))
			}
		}
	}
	for _, name := range names(t, s.store.HistoryDir) {
		if number, ok := strings.CutSuffix(name, ".yaml"); !ok || len(number) != 8 || strings.Trim(number, "0123456789") != "" {
			found = append(found, filepath.Join("var/history", name))
		}
	}
	return found
}

// wholeHistory checks that every revision from first to the stored one is kept,
// readable, once, and returns their documents in that order.
func (s *site) wholeHistory(t *testing.T, first uint64) (documents []*clusterconf.Document) {
	t.Helper()
	entries, err := s.store.History()
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(entries)
	for i, e := range entries {
		d, err := s.store.ReadRevision(e.Revision)
		if e.Problem != nil || err != nil || e.Revision != first+uint64(i) {
			t.Fatalf("entry %d of the history is revision %d, want %d: %v, %v", i, e.Revision, first+uint64(i), e.Problem, err)
		}
		documents = append(documents, d)
	}
	return documents
}

// names lists a folder's files, none where there is no folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
