//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// attempts is how often the demonstration may be repeated because something in
// it came too late: a test machine may have a lot else to do.
const attempts = 3

// runDemo runs the program's demonstration to its end and returns its output.
func runDemo(t *testing.T, change func(*exec.Cmd), args ...string) (stdout, stderr string, code int) {
	t.Helper()
	for i := range attempts {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, program(t), append([]string{"lab", "demo"}, args...)...)
		cmd.Env = demoEnv(shortTempDir(t))
		cmd.Stdout, cmd.Stderr = &out, &errs
		if change != nil {
			change(cmd)
		}
		err := cmd.Run()
		cancel()
		stdout, stderr, code = out.String(), errs.String(), cmd.ProcessState.ExitCode()
		if code == int(fault.NotPermitted) {
			needNamespaces(t, fault.New(fault.NotPermitted, "", "%s", stderr))
		}
		if code != int(fault.Failed) || !strings.Contains(stderr, "not as they should be") {
			return stdout, stderr, code
		}
		t.Logf("attempt %d: %v\n%s%s", i+1, err, stdout, stderr)
	}
	return stdout, stderr, code
}

// leftOver is what a lab left in its temporary folder.
func leftOver(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(dir + "/*")
	must(t, err)
	return found
}

// demoEnv is the environment of a demonstration that has dir as its temporary folder.
func demoEnv(dir string) []string { return append(os.Environ(), "TMPDIR="+dir) }

// startDemo starts the demonstration. All its processes share the output: the
// last one ends it.
func startDemo(t *testing.T, dir string) (*exec.Cmd, *os.File) {
	t.Helper()
	cmd := exec.Command(program(t), "lab", "demo")
	cmd.Env = demoEnv(dir)
	output, write, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { output.Close() })
	must(t, output.SetReadDeadline(time.Now().Add(time.Minute)))
	cmd.Stdout, cmd.Stderr = write, write
	must(t, errors.Join(cmd.Start(), write.Close()))
	return cmd, output
}

func TestDemo(t *testing.T) {
	before, dir := interfaces(t), shortTempDir(t)
	stdout, stderr, code := runDemo(t, func(c *exec.Cmd) { c.Env = demoEnv(dir) })
	t.Logf("%s", stdout)
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, standard error: %s", code, stderr)
	}
	for _, want := range []string{
		"srv1# mxcluster init", "srv2# mxcluster join", "mxcluster create c1", "xdata backup", "srv1 loses its power",
		"sb1# mxcluster fallback 1", "sb1# mxcluster sync", "EVENT ", "power cut of srv1", "all as it should be",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if strings.ContainsRune(stdout, '\x1b') {
		t.Error("output has control sequences, though it is no terminal")
	}
	if found := leftOver(t, dir); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
	if after := interfaces(t); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("interfaces: before %q, after %q", before, after)
	}
}

func TestDemoQuiet(t *testing.T) {
	stdout, stderr, code := runDemo(t, nil, "--quiet")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "EVENT") || len(lines) != 6 {
		t.Errorf("code %d, output:\n%s%s", code, stdout, stderr)
	}
}

// Every user can run the demonstration, by a user namespace.
func TestDemoAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // the other tests were that
	}
	const nobody = 65534
	dir := shortTempDir(t)
	must(t, os.Chown(dir, nobody, nobody))
	exe := filepath.Join(dir, "mxcluster") // where that user may run it
	data, err := os.ReadFile(program(t))
	must(t, err)
	must(t, os.WriteFile(exe, data, 0o755))
	stdout, stderr, code := runDemo(t, func(c *exec.Cmd) {
		c.Path, c.Dir = exe, "/"
		c.Env = append(c.Env, "TMPDIR="+dir, "HOME="+dir)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	})
	if code != 0 || stderr != "" {
		t.Errorf("code %d, output:\n%s%s", code, stdout, stderr)
	}
}

// Wherever the demonstration is ended, nothing runs on, and the next one works: each of
// these is the next one of that before, in the same folder, and the last goes to its end.
func TestDemoInterrupted(t *testing.T) {
	dir := shortTempDir(t)
	for _, c := range []struct {
		name   string
		signal unix.Signal
		at     string // a line of the output
		code   int
		clean  bool // the folder is gone at once
	}{
		{"interrupted at the start", unix.SIGINT, "servers on a switch", int(fault.Interrupted), true},
		{"terminated with agents running", unix.SIGTERM, "a phone calls", int(fault.Interrupted), true},
		{"killed with agents running", unix.SIGKILL, "a phone calls", -1, false},
		{"interrupted without power", unix.SIGINT, "loses its power", int(fault.Interrupted), true},
		{"killed at the start", unix.SIGKILL, "servers on a switch", -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, output := startDemo(t, dir)
			readUntil(t, output, c.at)
			must(t, cmd.Process.Signal(c.signal))
			rest, err := io.ReadAll(output)
			must(t, err)
			_ = cmd.Wait() // the exit code is looked at
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d; %s", got, c.code, rest)
			}
			if found := leftOver(t, dir); (len(found) == 0) != c.clean {
				t.Errorf("left behind: %q, want nothing: %v", found, c.clean)
			}
		})
	}
	_, stderr, code := runDemo(t, func(last *exec.Cmd) { last.Env = demoEnv(dir) })
	if code != 0 {
		t.Errorf("last run: code %d, %s", code, stderr)
	}
	if found := leftOver(t, dir); len(found) > 0 {
		t.Errorf("left behind by the last run: %q", found)
	}
}

// readUntil reads until a text was seen.
func readUntil(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := r.Read(buf)
		seen = append(seen, buf[:n]...)
		if err != nil {
			if strings.Contains(string(seen), "making network namespaces") {
				needNamespaces(t, fault.New(fault.NotPermitted, "", "%s", seen))
			}
			t.Fatalf("waiting for %q: %v\n%s", text, err, seen)
		}
	}
}
