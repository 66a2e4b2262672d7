//go:build linux

// Package etcdtest runs Debian's etcd-server for tests.
package etcdtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Program is the path of etcd. Where it is missing, the test fails if the
// environment has CI=true, since a test that did not run proves nothing there;
// else it is skipped.
func Program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs etcd: %v; install etcd-server", err)
		}
		t.Skipf("needs etcd: %v; install etcd-server", err)
	}
	return path
}

// Args are the arguments of one etcd server of a cluster. Peers are all of its
// servers, by name, with their peer URLs.
func Args(name, dir, clientURL string, peers map[string]string) []string {
	var all []string
	for n, url := range peers {
		all = append(all, n+"="+url)
	}
	return []string{
		"--name", name, "--data-dir", filepath.Join(dir, name), "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", clientURL, "--advertise-client-urls", clientURL,
		"--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name],
		"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", "new",
	}
}

// Server is one etcd server, a process of its own.
type Server struct {
	URL string // of its client port

	t       testing.TB
	program string
	args    []string
	cmd     *exec.Cmd
	out     bytes.Buffer
}

// Start runs a cluster of n etcd servers on loopback until the test ends, and
// returns when it serves. More are further arguments of each server.
func Start(t testing.TB, n int, more ...string) []*Server {
	t.Helper()
	program, dir := Program(t), t.TempDir()
	peers := map[string]string{}
	var servers []*Server
	for i := range n {
		peers[fmt.Sprintf("etcd%d", i+1)] = "http://" + freePort(t)
	}
	scheme := "http"
	if strings.Contains(strings.Join(more, " "), "--cert-file") {
		scheme = "https"
	}
	for i := range n {
		s := &Server{t: t, program: program, URL: scheme + "://" + freePort(t)}
		s.args = append(Args(fmt.Sprintf("etcd%d", i+1), dir, s.URL, peers), more...)
		servers = append(servers, s)
	}
	for _, s := range servers {
		s.Start()
		t.Cleanup(s.Kill)
	}
	for _, s := range servers {
		if scheme == "http" {
			s.Await()
		}
	}
	return servers
}

// URLs are the client URLs of servers.
func URLs(servers []*Server) []string {
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL)
	}
	return urls
}

// Start runs the server, on the data that it had before.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server as a power cut does. One that has ended is left alone.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

// Await returns when the server serves, as a member of a cluster with a leader.
func (s *Server) Await() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	client := Client(s.t, s)
	for ctx.Err() == nil {
		try, done := context.WithTimeout(ctx, time.Second)
		_, err := client.Get(try, "x")
		done()
		if err == nil {
			return
		}
	}
	s.t.Fatalf("etcd at %s does not serve:\n%s", s.URL, s.out.String())
}

// Client returns a client of a server that is closed at the end of the test.
func Client(t testing.TB, s *Server) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.URL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// freePort returns an address of loopback that nothing listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
