package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/failover"
	"mxcluster/internal/netns"
	"mxcluster/internal/rehearsal"
)

const self = "/proc/self/exe"

// Run rehearses in namespaces of their own, and returns when nothing is left of it. What
// cannot be confined is skipped. scratch is an empty folder.
func Run(ctx context.Context, spec rehearsal.Spec, scratch string) failover.Rehearsal {
	// The first process ends with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	skipped := func(err error) failover.Rehearsal {
		return failover.Rehearsal{At: time.Now().UTC(), Version: spec.Version, Result: failover.RehearsalSkipped, Text: err.Error()}
	}
	in, err := json.Marshal(spec)
	if err != nil {
		return skipped(err)
	}
	limited, cancel := context.WithTimeout(ctx, spec.Limit())
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(limited, self, Command, StageFirst, scratch)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	if err := cmd.Start(); err != nil {
		return skipped(fmt.Errorf("it cannot be confined: %w", err))
	}
	err = cmd.Wait()
	var r failover.Rehearsal
	if json.Unmarshal(out.Bytes(), &r) == nil && r.Result != "" {
		return r
	}
	r = skipped(errNoWord)
	r.Result = failover.RehearsalFailed
	switch text := strings.TrimSpace(said.String()); {
	case limited.Err() != nil && ctx.Err() == nil:
		r.Text = fmt.Sprintf("it did not end within %s and was ended", spec.Limit())
	case text != "":
		r.Text = text
	case err != nil:
		r.Text = fmt.Sprintf("%v: %v", errNoWord, err)
	}
	return r
}

// First is the first process of the namespaces: it builds what the software sees, starts
// the worker there, and reaps whatever is left to it until the worker has ended.
func First(in io.Reader, out, errs io.Writer, scratch string) error {
	runtime.LockOSThread() // capabilities are of a thread
	spec, err := readSpec(in)
	if err != nil {
		return err
	}
	confined := func() error {
		if os.Getpid() != 1 {
			return errors.New("this is not the first process of a namespace")
		}
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(mostKillable)), 0); err != nil {
			return err
		}
		if err := newRoot(scratch, roomOf(spec.Room)); err != nil {
			return err
		}
		if err := newNetwork(spec); err != nil {
			return err
		}
		return dropCapabilities()
	}
	if err := confined(); err != nil {
		return json.NewEncoder(out).Encode(failover.Rehearsal{At: time.Now().UTC(), Version: spec.Version, Result: failover.RehearsalSkipped,
			Text: fmt.Sprintf("it cannot be confined: %v", err)})
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	worker := exec.Command(self, Command, StageWorker)
	worker.Dir, worker.Stdin, worker.Stdout, worker.Stderr, worker.SysProcAttr = "/", r, out, errs, &syscall.SysProcAttr{Setsid: true}
	if err := worker.Start(); err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	if err := errors.Join(r.Close(), json.NewEncoder(w).Encode(spec), w.Close()); err != nil {
		return err
	}
	return reapUntil(worker.Process.Pid)
}

// mostKillable has the kernel end a rehearsal first when memory runs out.
const mostKillable = 1000

// reapUntil reaps all that ends, until one process does.
func reapUntil(last int) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for the worker: %w", err)
		case pid == last && status.ExitStatus() != 0:
			return fmt.Errorf("the worker ended with status %d", status.ExitStatus())
		case pid == last:
			return nil
		}
	}
}

// newNetwork makes an interface that leads nowhere, with the addresses that the software
// expects: its other end is in a network that nothing else is in.
func newNetwork(spec rehearsal.Spec) error {
	own, err := netns.Current()
	if err != nil {
		return err
	}
	nowhere, err := netns.New() // lives as long as this process
	if err != nil {
		return err
	}
	if err := errors.Join(own.SetUp("lo"), netns.AddVeth(own, spec.Interface, nowhere, "nowhere", nil)); err != nil {
		return err
	}
	if err := errors.Join(nowhere.SetUp("nowhere"), own.SetUp(spec.Interface)); err != nil {
		return err
	}
	for _, a := range []netip.Prefix{spec.Base, spec.Alias} {
		if a.IsValid() {
			if err := own.AddAddress(spec.Interface, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropCapabilities takes away for good what reaches beyond the namespaces.
func dropCapabilities() error {
	for _, c := range []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_MODULE, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO,
		unix.CAP_MKNOD, unix.CAP_SYSLOG, unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_AUDIT_CONTROL, unix.CAP_WAKE_ALARM, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_CHECKPOINT_RESTORE} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) { // not known to an older kernel
			return fmt.Errorf("giving up capabilities: %w", err)
		}
	}
	return nil
}
