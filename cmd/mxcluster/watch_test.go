package main

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// sleeper starts a process that ends when its standard input is closed.
func sleeper(t *testing.T) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { in.Close(); <-done })
	return cmd.Process.Pid, func() { in.Close() }
}

func TestWatchEnd(t *testing.T) {
	pid, end := sleeper(t)
	wait, err := watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, end)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestWatchGivesUp(t *testing.T) {
	pid, _ := sleeper(t)
	wait, err := watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestWatchGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	wait, err := watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(t.Context()); err != nil {
		t.Error(err)
	}
}
