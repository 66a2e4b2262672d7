//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// A lab that stays up has a keeper in place of the parent: a process in a session of its own, which
// outlives the command that started it.

// narrationFD is the descriptor to which a keeper writes what is done to make the lab. It is no
// standard stream: a write to those after the reader's end would end the keeper.
const narrationFD = 4

// downPatience is how long a lab may take to end before it is killed, and how long its folder may
// take to be removed.
const downPatience = 5 * time.Second

// Up starts a lab that stays up, and returns when it is. What is done to make it is told on say. A
// lab of that kind that is up already is none the less an answer; changed is false then. One of
// another kind is fault.Refused.
func Up(ctx context.Context, o UpOptions, say io.Writer) (st *State, changed bool, err error) {
	if st, err := Look(ctx, o.Dir); err == nil {
		if len(st.LIMs) != o.LIMs || st.Preloaded != o.Preloaded {
			return nil, false, fault.New(fault.Refused, "'mxcluster lab down' ends it", "another lab is up in %s, with %d LIM(s)%s",
				o.Dir, len(st.LIMs), map[bool]string{true: ", preloaded"}[st.Preloaded])
		}
		return st, false, nil
	}
	if err := startKeeper(ctx, o, say); err != nil {
		return nil, false, err
	}
	st, err = Look(ctx, o.Dir)
	return st, true, err
}

// startKeeper starts the keeper and returns when the lab is up, or the keeper has ended.
func startKeeper(ctx context.Context, o UpOptions, say io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the lab: finding this program: %w", err)
	}
	result, toResult, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the lab: %w", err)
	}
	defer result.Close()
	told, toTold, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("starting the lab: %w", err), toResult.Close())
	}
	defer told.Close()
	cmd := exec.Command(exe, append([]string{"lab", "keep"}, o.flags()...)...)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{toResult, toTold}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), toResult.Close(), toTold.Close()); err != nil {
		return fmt.Errorf("starting the lab: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) })()
	if _, err := io.Copy(say, told); err != nil {
		_, _ = io.Copy(io.Discard, told) // nobody reads; the lab comes up nevertheless
	}
	var got outcome
	decodeErr := json.NewDecoder(result).Decode(&got)
	switch {
	case decodeErr != nil:
		return fmt.Errorf("keeper of the lab ended without a word: %w", errors.Join(cmd.Wait(), decodeErr))
	case got.Ready:
		return cmd.Process.Release()
	}
	_ = cmd.Wait() // its outcome is known
	if ctx.Err() != nil {
		return fault.Wrap(ctx.Err(), fault.CodeOf(ctx.Err()), "", "lab ended before it was up")
	}
	return got.err()
}

// flags are the options as flags of `lab keep` and `lab host`.
func (o UpOptions) flags() []string {
	flags := []string{"--lab", o.Dir, "--lims", strconv.Itoa(o.LIMs)}
	if o.Preloaded {
		flags = append(flags, "--preloaded")
	}
	return flags
}

// Keep is the keeper's process. It returns when the lab was taken down, or could not come up; that
// is told to who started it.
func Keep(ctx context.Context, o UpOptions) error {
	unix.CloseOnExec(outcomeFD)
	unix.CloseOnExec(narrationFD)
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the lab: finding this program: %w", err)
	}
	starter := &starter{told: os.NewFile(narrationFD, "narration"), outcome: os.NewFile(outcomeFD, "outcome")}
	err = Launch(ctx, Options{
		Out: starter, Err: starter, Dir: o.Dir,
		Host:  append([]string{exe, "lab", "host"}, o.flags()...),
		Ready: func() { starter.tell(outcome{Ready: true}) },
	})
	starter.tell(outcomeOf(err))
	return err
}

// starter is the command that started a keeper, while it waits. What is written to it afterwards is
// lost.
type starter struct {
	mu            sync.Mutex
	told, outcome *os.File // nil: it has got its outcome
}

func (s *starter) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told != nil {
		_, _ = s.told.Write(text) // it may be gone
	}
	return len(text), nil
}

// tell sends the outcome; only the first one counts.
func (s *starter) tell(o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		return
	}
	_ = json.NewEncoder(s.outcome).Encode(o) // it may be gone
	_ = s.outcome.Close()
	_ = s.told.Close()
	s.told, s.outcome = nil, nil
}

// Down takes the lab in dir down and returns when nothing of it is left; ended reports whether one
// was up. What a killed lab left behind goes as well. A demonstration that runs there is fault.Busy.
func Down(ctx context.Context, dir string) (ended, removed bool, err error) {
	if !left(dir) {
		return false, false, nil
	}
	if conn, err := dialHost(ctx, dir); err == nil {
		ended = true
		err := endHost(ctx, conn)
		if err = errors.Join(err, conn.Close()); err != nil {
			return false, false, fmt.Errorf("taking the lab down: %w", err)
		}
	}
	// The keeper removes the folder, if it lives.
	deadline := time.Now().Add(downPatience)
	for {
		f, err := openFolder(dir)
		switch {
		case err == nil:
			return ended, true, f.remove()
		case !ended || fault.CodeOf(err) != fault.Busy || time.Now().After(deadline) || ctx.Err() != nil:
			return ended, false, err
		}
	}
}

// endHost asks the host of a lab to end, and kills it if it does not.
func endHost(ctx context.Context, conn *net.UnixConn) error {
	host, err := peer(conn)
	if err != nil {
		return err
	}
	if err := send(conn, playRequest{Down: true}); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	if err := conn.SetReadDeadline(time.Now().Add(downPatience)); err != nil {
		return err
	}
	for range 2 {
		var r playReply
		for err = nil; err == nil; {
			_, err = receive(conn, &r)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil // all of it has ended
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err := unix.Kill(host, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending the lab's process %d: %w", host, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(downPatience)); err != nil {
			return err
		}
	}
	return fault.New(fault.Unknown, "", "the lab's process %d does not end", host)
}

// peer returns the process that listens at the other end.
func peer(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}
