package services

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runGroup runs cmd in a session, so in a process group, of its own and returns the last lines
// that it printed on standard error or, where those are none, on standard output. When ctx ends, the whole group gets SIGTERM and after grace
// SIGKILL, and the error is ctx's cause. When the program ends by itself, what
// it left behind in its group lives on: that is how a daemon is started.
func runGroup(ctx context.Context, cmd *exec.Cmd, grace time.Duration) (string, error) {
	out, err := newOutput()
	if err != nil {
		return "", fmt.Errorf("preparing its output: %w", err)
	}
	errs, err := newOutput()
	if err != nil {
		out.finish()
		return "", fmt.Errorf("preparing its output: %w", err)
	}
	said := func() string {
		printed := out.finish()
		return cmp.Or(errs.finish(), printed)
	}
	cmd.Stdout, cmd.Stderr = out.child, errs.child
	keepDescriptors()
	// Linux shares the processors out among sessions first (sched(7), autogroup): in
	// the agent's own, software that spins would leave it without any for seconds.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		said()
		return "", noProgramError{err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = cmd.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		endGroup(cmd.Process.Pid, ended, grace)
		err = context.Cause(ctx)
	}
	return said(), err
}

// endGroup ends a process group: asked first, made to after grace. It returns
// once its leader is reaped and no member is left, or all have been killed.
func endGroup(group int, ended <-chan struct{}, grace time.Duration) {
	_ = unix.Kill(-group, unix.SIGTERM)
	limit := time.After(grace)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for reaped := false; ; {
		select {
		case <-ended:
			reaped, ended = true, nil
		case <-look.C:
			// An unreaped leader still counts as a member, hence both.
			if reaped && errors.Is(unix.Kill(-group, 0), unix.ESRCH) {
				return
			}
		case <-limit:
			_ = unix.Kill(-group, unix.SIGKILL)
			if !reaped {
				<-ended
			}
			return
		}
	}
}

const (
	tailBytes  = 4 << 10  // how much of a call's output is looked at
	lineBytes  = 300      // and of that told: it travels from server to server
	drainBytes = 64 << 10 // what a pipe holds: the most that can be left in it
)

// output is what a program prints to: a pipe of which the tail is kept.
//
// The child's end is open for reading too, so that a daemon which inherited it
// is not killed by SIGPIPE once nobody else reads, even after the agent is gone.
// It is made non-blocking when the call is over, so that such a daemon is not
// held up by a full pipe either: what it prints from then on is lost.
type output struct {
	child  *os.File // open for reading and writing, blocking
	parent *os.File // open for reading
	tail   tail
	done   chan struct{} // closed when nothing reads from parent any more
}

// newOutput returns an output that is being read.
func newOutput() (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var fd int
	raw, err := r.SyscallConn()
	if err == nil {
		ctl := raw.Control(func(p uintptr) {
			fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", p), unix.O_RDWR|unix.O_CLOEXEC, 0)
		})
		err = errors.Join(err, ctl)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	o := &output{child: os.NewFile(uintptr(fd), "output"), parent: r, done: make(chan struct{})}
	go o.read()
	return o, nil
}

// read keeps the tail until finish sets a deadline.
func (o *output) read() {
	defer close(o.done)
	buf := make([]byte, tailBytes)
	for {
		n, err := o.parent.Read(buf)
		o.tail.add(buf[:n])
		if err != nil {
			return
		}
	}
}

// finish stops reading, without waiting for whoever still holds the pipe open,
// and returns the last lines as one.
func (o *output) finish() string {
	_ = unix.SetNonblock(int(o.child.Fd()), true)
	_ = o.parent.SetReadDeadline(time.Now())
	<-o.done
	// What was printed just before the end may still be in the pipe.
	buf := make([]byte, drainBytes)
	if n, err := unix.Read(int(o.child.Fd()), buf); err == nil {
		o.tail.add(buf[:n])
	}
	o.child.Close()
	o.parent.Close()
	return o.tail.line()
}

// tail keeps the last tailBytes of what is added.
type tail struct{ kept []byte }

func (t *tail) add(b []byte) {
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

// line returns the last lines as a single one, for an error is one line; a last line
// that is too long itself is cut.
func (t *tail) line() string {
	text := strings.ReplaceAll(strings.ToValidUTF8(string(t.kept), "?"), "\r", "\n")
	said := ""
	for _, l := range slices.Backward(strings.Split(text, "\n")) {
		switch l = strings.TrimSpace(l); {
		case l == "":
		case said == "":
			said = cutLine(l)
		case len(l)+len(separator)+len(said) > lineBytes:
			return said
		default:
			said = l + separator + said
		}
	}
	return said
}

const separator = " | "

// cutLine shortens a line, between two characters.
func cutLine(l string) string {
	if len(l) <= lineBytes {
		return l
	}
	end := 0
	for i := range l {
		if i > lineBytes-len("…") {
			break
		}
		end = i
	}
	return l[:end] + "…"
}
