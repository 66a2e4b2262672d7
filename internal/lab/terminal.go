//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// drainPatience is how long the rest of a command's output is waited for, while something that it
// left behind holds its terminal.
const drainPatience = 100 * time.Millisecond

// Shell is the command line of a shell on a server: one that people type into, whose prompt names
// the server, or one that reads commands.
func Shell(server string, terminal bool) []string {
	if !terminal {
		return []string{"sh"}
	}
	return []string{"sh", "-c", `export PS1="$0# "; if command -v bash >/dev/null; then exec bash --norc --noprofile -i; fi; exec sh -i`, server}
}

// execInTerminal is Exec with a terminal of the command's own, so that Ctrl-C, the size of the
// window and the jobs of a shell are the command's.
func execInTerminal(ctx context.Context, dir, server string, argv []string, stdio Stdio) (code int, err error) {
	ours, theirs, err := openTerminal()
	if err != nil {
		return 0, fmt.Errorf("running %s on %s: opening a terminal: %w", argv[0], server, err)
	}
	defer ours.Close()
	copySize(stdio.Out, ours)
	inside := Stdio{In: theirs, Out: theirs, Err: theirs, Terminal: true}
	if stdio.Err != nil && !term.IsTerminal(int(stdio.Err.Fd())) {
		inside.Err = stdio.Err
	}
	cmd, err := start(ctx, dir, server, argv, stdio.Env, inside)
	if err = errors.Join(err, theirs.Close()); err != nil {
		return 0, err
	}
	defer cmd.close()
	before, err := term.MakeRaw(int(stdio.In.Fd()))
	if err != nil {
		return 0, fmt.Errorf("running %s on %s: %w", argv[0], server, err)
	}
	defer func() { err = errors.Join(err, term.Restore(int(stdio.In.Fd()), before)) }()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-resized:
				copySize(stdio.Out, ours)
			case <-done:
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(ours, stdio.In) }() // ends with this process, or the terminal
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(stdio.Out, ours) // until nobody holds the other end
	}()
	code, err = cmd.wait(ctx)
	_ = ours.SetReadDeadline(time.Now().Add(drainPatience)) // all that can be is shown already
	<-shown
	return code, err
}

// openTerminal opens a pseudo-terminal: the end of a person, and the end of a command.
func openTerminal() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := ours.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	var number int
	var asked error
	err = raw.Control(func(fd uintptr) {
		if asked = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); asked == nil {
			number, asked = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, asked); err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	return ours, theirs, nil
}

// copySize gives a terminal the size of another one.
func copySize(from, to *os.File) {
	size, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return // it keeps the one that it has
	}
	raw, err := to.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
}
