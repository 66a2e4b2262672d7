//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// graceOfSIGTERM is how long a command whose caller was interrupted may take to end before it is
// killed.
const graceOfSIGTERM = 2 * time.Second

// Stdio is the standard streams of a command. nil is the null device.
type Stdio struct {
	In, Out, Err *os.File
	Terminal     bool     // In and Out are a terminal, for a command that gets one of its own
	Env          []string // added to the environment of a command with a terminal
}

// Exec runs a command on a server of the lab in dir and returns its exit code; 128 plus the
// signal's number if a signal ended it. When ctx is done the command gets SIGTERM, and then
// SIGKILL. An unknown server is fault.NotFound, one without power fault.Unreachable.
func Exec(ctx context.Context, dir, server string, argv []string, stdio Stdio) (int, error) {
	if stdio.Terminal {
		return execInTerminal(ctx, dir, server, argv, stdio)
	}
	cmd, err := start(ctx, dir, server, argv, nil, stdio)
	if err != nil {
		return 0, err
	}
	defer cmd.close()
	return cmd.wait(ctx)
}

// command is a command that runs on a server, seen from outside.
type command struct {
	server string
	conn   *net.UnixConn
	pid    int // in the server's process namespace

	ended chan struct{} // closed when code and err are set
	code  int
	err   error
}

// start sends a command to a server and returns when it runs.
func start(ctx context.Context, dir, server string, argv, env []string, stdio Stdio) (*command, error) {
	conn, err := dial(ctx, dir, server)
	if err != nil {
		return nil, err
	}
	cmd := &command{server: server, conn: conn, ended: make(chan struct{})}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer null.Close()
	files := []*os.File{stdio.In, stdio.Out, stdio.Err}
	for i, f := range files {
		if f == nil {
			files[i] = null
		}
	}
	r, err := cmd.ask(request{Argv: argv, Env: env, Terminal: stdio.Terminal}, files...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("running %s on %s: %w", argv[0], server, err), conn.Close())
	}
	cmd.pid = r.PID
	go cmd.follow()
	return cmd, nil
}

// dial opens a connection to a server's socket.
func dial(ctx context.Context, dir, server string) (*net.UnixConn, error) {
	noLab := fault.New(fault.NotFound, "start one with 'mxcluster lab up'", "no lab is running in %s", dir)
	if _, err := os.Stat(dir); err != nil {
		return nil, noLab
	}
	if _, err := os.Stat(filepath.Join(dir, server)); err != nil || strings.ContainsRune(server, '/') || strings.HasPrefix(server, ".") {
		return nil, noServer(server, Servers(dir))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixpacket", socketPath(dir, server))
	switch {
	case err != nil && !inUse(dir):
		return nil, noLab
	case err != nil:
		return nil, fault.New(fault.Unreachable, "", "server %s has no power", server)
	}
	return conn.(*net.UnixConn), nil
}

// ask sends a request and returns the first reply to it.
func (c *command) ask(req request, files ...*os.File) (reply, error) {
	if err := send(c.conn, req, files...); err != nil {
		return reply{}, err
	}
	return c.answer()
}

func (c *command) answer() (reply, error) {
	var r reply
	if _, err := receive(c.conn, &r); err != nil {
		if errors.Is(err, io.EOF) {
			err = fault.New(fault.Unreachable, "", "server %s lost its power", c.server)
		}
		return reply{}, err
	}
	if r.Error != "" {
		return reply{}, errors.New(r.Error)
	}
	return r, nil
}

// follow waits for the exit code, or for the end of the server.
func (c *command) follow() {
	defer close(c.ended)
	r, err := c.answer()
	switch {
	case err != nil:
		c.err = err
	case r.Exit == nil:
		c.err = fmt.Errorf("server %s gave no exit code", c.server)
	default:
		c.code = *r.Exit
	}
}

// wait returns the exit code of the command. When ctx is done first, the
// command is asked to end.
func (c *command) wait(ctx context.Context) (int, error) {
	select {
	case <-c.ended:
		return c.code, c.err
	case <-ctx.Done():
	}
	// A failure means that the command has ended.
	_ = c.signal(unix.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(graceOfSIGTERM):
	}
	return 0, ctx.Err()
}

// signal sends a signal to the command's process only.
func (c *command) signal(sig syscall.Signal) error {
	return send(c.conn, request{Signal: int(sig)})
}

// close releases the command; the server kills it if it still runs.
func (c *command) close() { c.conn.Close() }

// Result is the result of a command.
type Result struct {
	Code int
	Out  []byte
	Err  []byte
}

// capture runs a command and collects its output in memory files. With pipes, a daemon that the
// command left would keep the caller waiting.
func capture(ctx context.Context, dir, server string, argv, env []string) (*Result, error) {
	out, err := memoryFile()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	errs, err := memoryFile()
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	cmd, err := start(ctx, dir, server, argv, env, Stdio{Out: out, Err: errs})
	if err != nil {
		return nil, err
	}
	defer cmd.close()
	code, err := cmd.wait(ctx)
	if err != nil {
		return nil, err
	}
	result := &Result{Code: code}
	if result.Out, err = contents(out); err == nil {
		result.Err, err = contents(errs)
	}
	return result, err
}

func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file for a command's output: %w", err)
	}
	return os.NewFile(uintptr(fd), "output"), nil
}

func contents(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	return bytes.TrimRight(data, "\n"), err
}
