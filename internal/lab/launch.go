//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Descriptors of a host process beside the standard streams.
const (
	outcomeFD = 3 // the host writes its outcome here
	leashFD   = 4 // the host ends when this is closed: the parent is gone
)

// Options are the place and the streams of a lab.
type Options struct {
	Out io.Writer // output of the scenario
	Err io.Writer // error messages of the lab's processes
	Exe string    // the mxcluster program, for Demo; empty: this program
	Dir string    // lab folder; empty: DefaultDir

	// Host is the command line of the host process, which must call Host.Run with the same folder.
	Host []string
	// Env is added to the environment of the host process.
	Env []string

	// Ready is called when the scenario says that the lab is up; nil: nobody waits for that.
	Ready func()
}

// outcome is the result of a scenario, sent from the host to the parent.
type outcome struct {
	Ready   bool       `json:"ready,omitempty"` // not the end: the lab is up
	Code    fault.Code `json:"code"`
	Message string     `json:"message,omitempty"`
	Hint    string     `json:"hint,omitempty"`
}

// Launch runs a host process in new namespaces and returns its scenario's error, with exit code and
// remedy. When ctx is done the whole lab is killed. The lab folder is removed in any case. root
// gets namespaces directly, other users by a user namespace; if the kernel permits neither, that is
// fault.NotPermitted.
func Launch(ctx context.Context, o Options) (err error) {
	f, err := openFolder(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.remove()) }()
	result, toResult, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the lab: %w", err)
	}
	defer result.Close()
	leash, hold, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("starting the lab: %w", err), toResult.Close())
	}
	defer hold.Close()

	// The kernel kills the host when the thread that started it ends, so this thread must live
	// until the end of this function.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := startHost(ctx, o, toResult, leash)
	if err = errors.Join(err, toResult.Close(), leash.Close()); err != nil {
		return err
	}
	// The pipe ends with the host, with or without an outcome.
	var got outcome
	outcomes := json.NewDecoder(result)
	decodeErr := outcomes.Decode(&got)
	if decodeErr == nil && got.Ready {
		if o.Ready != nil {
			o.Ready()
		}
		got = outcome{}
		decodeErr = outcomes.Decode(&got)
	}
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(ctx.Err(), fault.CodeOf(ctx.Err()), "", "lab ended before it was through")
	case decodeErr != nil:
		return fmt.Errorf("lab host ended without a word: %w", errors.Join(waitErr, decodeErr))
	}
	return got.err()
}

// outcomeOf is what is sent of an error.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{}
	}
	return outcome{Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
}

// err is the error that was sent.
func (o outcome) err() error {
	if o.Code == fault.OK {
		return nil
	}
	return fault.New(o.Code, o.Hint, "%s", o.Message)
}

// startHost starts the host with the user's own privileges if they suffice, else as root of a user
// namespace.
func startHost(ctx context.Context, o Options, files ...*os.File) (*exec.Cmd, error) {
	const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS
	if os.Geteuid() == 0 {
		cmd := hostCommand(ctx, o, files)
		cmd.SysProcAttr.Cloneflags = namespaces
		// Without the privileges root is treated like other users.
		if err := cmd.Start(); err == nil || !errors.Is(err, unix.EPERM) {
			return cmd, err
		}
	}
	cmd := hostCommand(ctx, o, files)
	cmd.SysProcAttr.Cloneflags = namespaces | unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	return cmd, explainRefusal(cmd.Start())
}

func hostCommand(ctx context.Context, o Options, files []*os.File) *exec.Cmd {
	cmd := exec.CommandContext(ctx, o.Host[0], o.Host[1:]...)
	cmd.Stdout, cmd.Stderr = o.Out, o.Err
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:    true, // Ctrl-C is handled by the parent
		Pdeathsig: unix.SIGKILL,
	}
	return cmd
}

// explainRefusal recognises a kernel that permits no namespaces.
func explainRefusal(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
		return fault.Wrap(err, fault.NotPermitted, refusalRemedy(), "starting the lab: making network namespaces")
	}
	return err
}

// refusalRemedy names the setting that forbids them, if it is known.
func refusalRemedy() string {
	for _, s := range []struct{ path, bad, remedy string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces=10000"},
	} {
		if value, err := os.ReadFile(s.path); err == nil && string(value) == s.bad {
			return "run it as root, or allow user namespaces: sysctl -w " + s.remedy
		}
	}
	return "run it as root, on a machine or in a container that may make namespaces"
}
