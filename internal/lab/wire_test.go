//go:build linux

package lab

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// socketPair returns two ends of a connection of the kind that servers use.
func socketPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(shortTempDir(t), "s"), Net: "unixpacket"}
	l, err := net.ListenUnix("unixpacket", addr)
	must(t, err)
	defer l.Close()
	a, err = net.DialUnix("unixpacket", nil, addr)
	must(t, err)
	b, err = l.AcceptUnix()
	must(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestWirePassesFiles(t *testing.T) {
	a, b := socketPair(t)
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, []byte("content"), 0o600))
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	want := request{Argv: []string{"echo", "ä\n"}, Env: []string{"A=b"}, Signal: 15}
	must(t, send(a, want, f, f))
	var got request
	files, err := receive(b, &got)
	must(t, err)
	defer closeAll(files)
	if !slices.Equal(got.Argv, want.Argv) || !slices.Equal(got.Env, want.Env) || got.Signal != want.Signal {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(files) != 2 {
		t.Fatalf("%d files, want 2", len(files))
	}
	data, err := io.ReadAll(files[1])
	if err != nil || string(data) != "content" {
		t.Errorf("passed file: %q, %v", data, err)
	}
}

func TestWireErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(t *testing.T, a *net.UnixConn)
		ok   func(error) bool
	}{
		{"closed", func(t *testing.T, a *net.UnixConn) { must(t, a.Close()) },
			func(err error) bool { return errors.Is(err, io.EOF) }},
		{"no JSON", func(t *testing.T, a *net.UnixConn) { _, err := a.Write([]byte("hello")); must(t, err) },
			func(err error) bool { return strings.Contains(err.Error(), "invalid character") }},
		{"too long", func(t *testing.T, a *net.UnixConn) {
			must(t, send(a, request{Argv: []string{strings.Repeat("x", largestMessage)}}))
		}, func(err error) bool { return strings.Contains(err.Error(), "longer than") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := socketPair(t)
			c.act(t, a)
			var got request
			if _, err := receive(b, &got); err == nil || !c.ok(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}
