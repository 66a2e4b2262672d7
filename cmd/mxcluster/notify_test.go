package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// What is told arrives on the socket that systemd names.
func TestNotify(t *testing.T) {
	if err := notify("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	if d := watchdog(); d != 0 {
		t.Errorf("without systemd there is a watchdog of %s", d)
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "10000000")
	if d := watchdog(); d != 10*time.Second {
		t.Errorf("watchdog of %s", d)
	}
	t.Setenv("WATCHDOG_USEC", "often")
	if d := watchdog(); d != 0 {
		t.Errorf("watchdog of %s", d)
	}
	for _, want := range []string{"READY=1", "STATUS=srv1: LIM 1 running"} {
		if err := notify(want); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("received %q, %v; want %q", buf[:n], err, want)
		}
	}
}
