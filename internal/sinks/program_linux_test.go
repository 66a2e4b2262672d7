package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script makes a program of a shell script.
func script(t *testing.T, text string) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Program{Path: path, Environ: []string{"PATH=" + os.Getenv("PATH"), "DIR=" + filepath.Dir(path)}}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A program gets the alarm in its environment and, whole, on its standard input.
func TestProgramGetsTheAlarm(t *testing.T) {
	p := script(t, `cat >"$DIR/in"; env | grep ^MXCLUSTER_ | sort >"$DIR/env"; echo "$@" >"$DIR/args"; pwd >>"$DIR/args"`)
	p.Args = []string{"a b", "c"}
	m := raise(1)
	m.Text = "LIM 1 is down:\nno power"
	if err := p.Tell(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(p.Path)
	var got Message
	if err := json.Unmarshal([]byte(read(t, dir+"/in")), &got); err != nil || got != m {
		t.Errorf("on standard input: %+v, %v", got, err)
	}
	want := `MXCLUSTER_ALARM=lim-down
MXCLUSTER_ALARM_SERVER=srv1
MXCLUSTER_HANDLE=1
MXCLUSTER_LIM=1
MXCLUSTER_SEVERITY=critical
MXCLUSTER_SINCE=2026-03-01T02:00:00Z
MXCLUSTER_STATE=raised
MXCLUSTER_SYSTEM=TEST
MXCLUSTER_TEXT=LIM 1 is down: no power
MXCLUSTER_TOLD_BY=sb1
`
	if env := read(t, dir+"/env"); env != want {
		t.Errorf("environment:\n%s", env)
	}
	if args := read(t, dir+"/args"); args != "a b c\n/\n" {
		t.Errorf("arguments and folder: %q", args)
	}
}

// A program that fails says why; one that does not read its input, leaves something behind
// or is missing keeps nobody.
func TestProgramsThatFail(t *testing.T) {
	p := script(t, "echo out of paper >&2\nexit 3\n")
	if err := p.Tell(t.Context(), raise(1)); err == nil || !strings.HasSuffix(err.Error(), "exit status 3: out of paper") {
		t.Errorf("failing: %v", err)
	}
	p = script(t, "(trap '' HUP; exec sleep 600) &\necho $! >\"$DIR/pid\"\n")
	if err := p.Tell(t.Context(), raise(1)); err != nil {
		t.Errorf("with something left behind: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Dir(p.Path)+"/pid")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := (&Program{Path: "/nonexistent"}).Tell(t.Context(), raise(1)); err == nil {
		t.Error("a program that is not there took it")
	}
	p = script(t, "touch \"$DIR/ran\"\n")
	p.Trusted = func(string) error { return errors.New("others may change it") }
	if err := p.Tell(t.Context(), raise(1)); err == nil {
		t.Error("a program that others may change was run")
	}
	if _, err := os.Stat(filepath.Dir(p.Path) + "/ran"); err == nil {
		t.Error("it ran")
	}
}

// With its time a program ends, and all that it started.
func TestProgramThatHangsIsEnded(t *testing.T) {
	p := script(t, "sleep 600 &\necho $! >\"$DIR/pid.new\"\nmv \"$DIR/pid.new\" \"$DIR/pid\"\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Tell(ctx, raise(1)) }()
	var child int
	for deadline := time.After(30 * time.Second); child == 0; {
		if raw, err := os.ReadFile(filepath.Dir(p.Path) + "/pid"); err == nil {
			if child, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-deadline:
			t.Fatal("the program did not start")
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("a program that was ended took the message")
	}
	for deadline := time.After(30 * time.Second); alive(child); {
		select {
		case <-deadline:
			t.Fatal("what the program started lives on")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// alive reports whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(rest, "Z")
}
