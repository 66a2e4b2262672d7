package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test program be mxcluster when it is told so.
func TestMain(m *testing.M) {
	if os.Getenv("MXCLUSTER_TEST_AS_COMMAND") == "" {
		m.Run()
		removeBinary()
		return
	}
	main()
}

// mxcluster prepares the program as a process of its own, with its own folders.
func mxcluster(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "MXCLUSTER_TEST_AS_COMMAND=1", "MXCLUSTER_CONFIG_DIR="+filepath.Join(dir, "etc"),
		"MXCLUSTER_STATE_DIR="+filepath.Join(dir, "var"), "MXCLUSTER_RUN_DIR="+filepath.Join(dir, "run"))
	return cmd
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{
		"version": 0,
		"list":    78,
		"lsit":    64,
		"agent":   64,
	} {
		cmd := mxcluster(t, strings.Fields(args)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d\n%s", args, got, want, out)
		}
	}
}

// Ctrl-C ends a command that waits, with the contract's code.
func TestInterrupt(t *testing.T) {
	cmd := mxcluster(t, "xdata", "serve")
	init := mxcluster(t, "init", "--server", "srv1", "--base", "10.0.0.11/24", "--interface", "lo")
	init.Env, cmd.Env = append(cmd.Env, "MXCLUSTER_SERVER=srv1"), append(cmd.Env, "MXCLUSTER_SERVER=srv1")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Its greeting shows that it is up and waits for its peer.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	impatience := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer impatience.Stop()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 130 || !strings.HasPrefix(errs.String(), "mxcluster: interrupted") {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
}

// An answer that did not get where it was to go is a failure: with a line where the
// disk is full, without one where the reader has gone.
func TestUnwrittenAnswer(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	read, gone, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	read.Close()
	for _, line := range []string{"version", "--help", "completion bash"} {
		for out, want := range map[*os.File]string{full: "mxcluster: writing the answer: write /dev/stdout: no space left on device\n", gone: ""} {
			var errs bytes.Buffer
			cmd := mxcluster(t, strings.Fields(line)...)
			cmd.Stdout, cmd.Stderr = out, &errs
			_ = cmd.Run()
			said, _, _ := strings.Cut(errs.String(), "make room")
			if got := cmd.ProcessState.ExitCode(); got != 1 || said != want {
				t.Errorf("%s: exit code %d: %q, want %q", line, got, said, want)
			}
		}
	}
}
