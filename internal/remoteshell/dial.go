// Package remoteshell starts a program on another server, by ssh or whatever else is set,
// and is the connection to its standard input and output.
package remoteshell

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/shell"

	"mxcluster/internal/fault"
	"mxcluster/internal/services"
)

// Shell says how a program is started on another server.
type Shell struct {
	Command       string // e.g. "ssh -o BatchMode=yes {address}"; {server} and {address} are filled in
	RemoteCommand string // mxcluster there, e.g. "mxcluster" or "sudo mxcluster"

	// Options are put behind the host in the command line of an ssh: what Command
	// says counts before them, and they count before what ssh's configuration says.
	Options []string

	// Patience is how long it may take until the first word of mxcluster there:
	// [Meet], [Sync] and [Answer] end the wait. A server that is down would
	// otherwise hold its caller for the minutes that TCP takes to give up.
	// 0: for ever, for a login that asks a person.
	Patience time.Duration
}

const (
	// closeGrace is how long the program may take to end once nobody reads from
	// it or writes to it any more.
	closeGrace = 5 * time.Second
	// stderrGrace is how long what the program left behind may hold its standard
	// error open.
	stderrGrace = 200 * time.Millisecond
)

// withoutLogin leaves out what sshd says of the login by which this was started: that is not
// how the other side is reached.
func withoutLogin(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool {
		return strings.HasPrefix(v, "SSH_ORIGINAL_COMMAND=") || strings.HasPrefix(v, "SSH_CONNECTION=") || strings.HasPrefix(v, "SSH_CLIENT=")
	})
}

// Dial starts Command RemoteCommand args..., words split as a shell does, and
// returns a connection to its standard input and output. It does not wait for
// an answer. A program that is missing, that ends before its work is done, or that
// does not get through for rsh.Patience, is fault.Unreachable with the reason that it gave.
// When ctx ends the program is killed.
func Dial(ctx context.Context, rsh Shell, server string, address netip.Addr, args ...string) (*Conn, error) {
	words, shown, err := rsh.words(server, address)
	if err != nil {
		return nil, err
	}
	words, shown = append(words, args...), append(shown, args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = stderrGrace
	cmd.Env = withoutLogin(os.Environ())
	c := &Conn{server: server, cmd: cmd, shown: strings.Join(shown, " ")}
	cmd.Stderr = &c.stderr
	in, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	c.in, cmd.Stdin = in, theirs
	if c.out, err = cmd.StdoutPipe(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if err := services.StartPlain(cmd); err != nil {
		_ = in.Close()
		return nil, fault.Wrap(err, fault.Unreachable, "install it, or set sync.rsh in mxcluster.yaml",
			"reach server %s by %q", server, c.shown)
	}
	if rsh.Patience > 0 {
		c.patience = time.AfterFunc(rsh.Patience, func() { c.giveUp(rsh.Patience) })
	}
	return c, nil
}

// socketBytes is what the socket may hold that ssh reads from: when it is filled up late, on
// a busy server, ssh has enough until then.
const socketBytes = 8 << 20

// socketPair returns a stream from ours to theirs. A pipe that is full wakes its
// writer for every page that ssh takes out of it, some 80,000 times in a GiB; a
// socket does when most of it is free, and may hold more than the usual 208 KiB.
func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	widenSocket(fds[0], socketBytes)
	// What does not block, Go waits for in a way that Close ends.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}

// words splits the commands and fills them in. Splitting comes first, so that
// nothing in a name can become more than one word. Shown are those that were set.
func (r Shell) words(server string, address netip.Addr) (words, shown []string, err error) {
	fill := strings.NewReplacer("{server}", server, "{address}", address.String())
	split := func(setting, text string) []string {
		fields, bad := shell.Fields(text, nil)
		if bad != nil && err == nil {
			err = fault.Wrap(bad, fault.Invalid, "write it as on a shell's command line",
				"split the setting %s %q into words", setting, text)
		}
		for i := range fields {
			fields[i] = fill.Replace(fields[i])
		}
		return fields
	}
	rsh, remote := split("sync.rsh", r.Command), split("sync.remote_command", r.RemoteCommand)
	switch shown = slices.Concat(rsh, remote); {
	case err != nil:
		return nil, nil, err
	case len(shown) == 0:
		return nil, nil, fault.New(fault.Invalid, "remove sync.rsh from mxcluster.yaml to use ssh", "the setting sync.rsh is empty")
	}
	words = slices.Clone(shown)
	if at := behindHost(rsh); at > 0 {
		words = slices.Insert(words, at, r.Options...)
	}
	return words, shown, nil
}

// sshFlags are the options of ssh that take a value.
const sshFlags = "BbcDEeFIiJLlmOoPpQRSWw"

// behindHost is the place behind the host in the command line of an ssh; 0 where there
// is none. ssh reads options there, too, and of an option given twice the first counts.
func behindHost(words []string) int {
	if len(words) == 0 || filepath.Base(words[0]) != "ssh" {
		return 0
	}
	for i := 1; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			return 0 // nothing behind it is an option
		case len(w) < 2 || w[0] != '-':
			return i + 1
		}
		// Letters may stand together; a value follows the first that takes one.
		if at := strings.IndexAny(w[1:], sshFlags); at == len(w)-2 {
			i++
		}
	}
	return 0
}

// Conn is a connection to a program that we started.
type Conn struct {
	server string
	cmd    *exec.Cmd
	shown  string // what was set to be run
	in     *os.File
	out    io.ReadCloser
	stderr stderr
	once   sync.Once
	ended  error // of Wait; valid after once

	patience *time.Timer  // runs until the other side's first word; nil without
	silent   atomic.Int64 // nanoseconds after which it was killed for its silence
}

// giveUp ends a program that has not got through yet.
func (c *Conn) giveUp(after time.Duration) {
	c.silent.Store(int64(after))
	_ = c.cmd.Process.Kill() // it may have ended just now
	c.out.Close()            // what it started may hold the other end
}

// Answered ends the waiting for a first word.
func (c *Conn) Answered() {
	if c.patience != nil {
		c.patience.Stop()
	}
}

// Read reads what the program prints. Its end before the protocol's end is
// reported with the reason that the program gave.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	if gone := c.wait(); gone != nil {
		return 0, c.reason(gone)
	}
	return 0, err
}

// Server is the name of the server that the program runs on.
func (c *Conn) Server() string { return c.server }

// Output is what the program prints into.
func (c *Conn) Output() *os.File {
	f, _ := c.out.(*os.File)
	return f
}

// Write writes to the program.
func (c *Conn) Write(p []byte) (int, error) { return c.in.Write(p) }

// SyscallConn fulfils syscall.Conn, for what is written to the program.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.in.SyscallConn() }

// Close ends the connection and waits for the program, which is killed when it
// does not end by itself.
func (c *Conn) Close() error {
	c.Answered()
	c.in.Close()
	c.out.Close()
	if err := c.wait(); err != nil {
		return c.reason(err)
	}
	return nil
}

// wait reaps the program, once for all callers, and kills it when it does not
// end by itself.
func (c *Conn) wait() error {
	c.once.Do(func() {
		impatience := time.AfterFunc(closeGrace, func() { _ = c.cmd.Process.Kill() })
		defer impatience.Stop()
		c.ended = c.cmd.Wait()
		if errors.Is(c.ended, exec.ErrWaitDelay) {
			c.ended = nil // it ended well, but left something behind, as ssh's ControlPersist does
		}
	})
	return c.ended
}

// stderr keeps the end of what a program writes to it.
type stderr struct {
	mu   sync.Mutex
	kept []byte
}

const maxStderr = 4 << 10

// Write fulfils io.Writer.
func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, p...)
	if over := len(s.kept) - maxStderr; over > 0 {
		s.kept = append(s.kept[:0], s.kept[over:]...)
	}
	return len(p), nil
}

// lines returns what was kept, as lines of plain text.
func (s *stderr) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for l := range strings.Lines(string(s.kept)) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, fault.Plain(l))
		}
	}
	return lines
}
