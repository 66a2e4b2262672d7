//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// runScenario runs a scenario in a lab of its own, with exe in the servers, and
// checks that nothing of it is left behind.
func runScenario(t *testing.T, name, exe string) {
	t.Helper()
	if err := tryScenario(t, name, exe); err != nil {
		t.Errorf("scenario %s: %v", name, err)
	}
}

// tryScenario is runScenario for those that are to fail.
func tryScenario(t *testing.T, name, exe string) error {
	t.Helper()
	limit := 4 * time.Minute
	if os.Getenv(ordersEnv) != "" || os.Getenv(deletionsEnv) != "" || os.Getenv(checkEnv) != "" || os.Getenv(alarmsEnv) != "" || os.Getenv(maintenanceEnv) != "" {
		limit = 30 * time.Minute
	}
	if os.Getenv(deadEnv) != "" || os.Getenv(betrayalsEnv) != "" || os.Getenv(oldEnv) != "" || os.Getenv(recordEnv) != "" {
		limit = 2 * time.Hour
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	before := interfaces(t)
	dir := filepath.Join(shortTempDir(t), "lab")
	var out bytes.Buffer
	o := labOptions(self(t), exe, dir, name)
	o.Out, o.Err = &out, &out
	err := Launch(ctx, o)
	needNamespaces(t, err)
	if out.Len() > 0 {
		t.Logf("%s", out.String())
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lab folder after the end: %v, want it gone", err)
	}
	if after := interfaces(t); !slices.Equal(before, after) {
		t.Errorf("interfaces of this machine: before %q, after %q", before, after)
	}
	return err
}

// self is the test program.
func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func interfaces(t *testing.T) (names []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

// shortTempDir is a folder for sockets, whose paths must be short.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// needNamespaces ends a test that this machine does not let run: as a failure
// where CI=true, since a test that did not run proves nothing there.
func needNamespaces(t *testing.T, err error) {
	t.Helper()
	if fault.CodeOf(err) == fault.NotPermitted && os.Getenv("CI") != "true" {
		t.Skipf("needs namespaces: %v; %s", err, fault.HintOf(err))
	}
}

// findings collects what a scenario found wrong: the host has no testing.T.
type findings struct{ all []error }

func (f *findings) check(good bool, format string, args ...any) {
	if !good {
		f.all = append(f.all, fmt.Errorf(format, args...))
	}
}

func (f *findings) noError(err error, doing string) bool {
	f.check(err == nil, "%s: %w", doing, err)
	return err == nil
}

func (f *findings) err() error { return errors.Join(f.all...) }

// shell runs a shell command on a server and returns its output and exit code.
func shell(ctx context.Context, s *Server, command string) (string, int, error) {
	r, err := s.Run(ctx, nil, "sh", "-c", command)
	if err != nil {
		return "", 0, err
	}
	return strings.TrimSpace(string(r.Out) + string(r.Err)), r.Code, nil
}

// testServers adds servers with power, srv1 with 192.0.2.11 and so on.
func testServers(ctx context.Context, l *Lab, count int) ([]*Server, error) {
	var all []*Server
	for i := range count {
		s, err := l.AddServer(fmt.Sprintf("srv%d", i+1), labAddress(byte(11+i)))
		if err == nil {
			err = s.Boot(ctx)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
