package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// harmless are the system calls that no file learns of: waiting, signals, threads
// and memory. How many there are depends on how the threads are scheduled.
var harmless = []int{
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT,
	unix.SYS_TGKILL, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK,
	unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT,
}

// killAt runs a command and sends it a signal when it is about to make its n-th
// system call that is not harmless, counted over all of its threads: with SIGKILL
// that call is not made any more. It returns how the process ended and how many such
// calls it had begun. strace's fault injection counts for each thread, and so
// cannot reach every call of a program whose work moves from thread to thread.
func killAt(cmd *exec.Cmd, n int, signal syscall.Signal) (end syscall.WaitStatus, calls int, err error) {
	// What a thread traces, it alone may stop and let go.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A process group of its own tells its threads from other children of this one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("starting under ptrace: %w", err)
	}
	defer cmd.Process.Release() // it is reaped by then
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return 0, 0, os.NewSyscallError("wait4", err)
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return 0, 0, os.NewSyscallError("ptrace", err)
	}
	inside := map[int]bool{} // by thread: in a system call
	for tid := pid; ; {
		if err := step(tid, pid, status, inside, &calls, n, signal); err != nil {
			return 0, calls, err
		}
		if tid, err = syscall.Wait4(-pid, &status, unix.WALL|unix.WNOTHREAD, nil); err != nil {
			return 0, calls, os.NewSyscallError("wait4", err)
		}
		if tid == pid && (status.Exited() || status.Signaled()) {
			return status, calls, nil
		}
	}
}

// step lets a stopped thread go on to where its next system call begins or ends,
// or sends the process its signal.
func step(tid, pid int, status syscall.WaitStatus, inside map[int]bool, calls *int, n int, send syscall.Signal) error {
	if !status.Stopped() {
		return nil // a thread ended
	}
	deliver := 0
	switch signal := status.StopSignal(); signal {
	case syscall.SIGTRAP | 0x80: // a system call
		if inside[tid] = !inside[tid]; inside[tid] {
			number, err := systemCall(tid)
			if err != nil {
				return err
			}
			if !slices.Contains(harmless, number) {
				*calls++
				if *calls == n {
					if err := syscall.Kill(pid, send); err != nil {
						return os.NewSyscallError("kill", err)
					}
				}
			}
		}
	case syscall.SIGTRAP, syscall.SIGSTOP: // the program or a thread begins
	default:
		deliver = int(signal)
	}
	err := syscall.PtraceSyscall(tid, deliver)
	if err == syscall.ESRCH { // it was killed meanwhile
		return nil
	}
	return os.NewSyscallError("ptrace", err)
}

// systemCall returns the number of the system call that a stopped thread is in.
// For a moment after the stop was told the kernel may still call it running, as
// long as it has not left its processor: then it is asked again.
func systemCall(tid int) (int, error) {
	for range 100_000 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", tid))
		if err != nil {
			return 0, err
		}
		word, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		if word == "running" {
			runtime.Gosched()
			continue
		}
		number, err := strconv.Atoi(word)
		if err != nil {
			return 0, fmt.Errorf("what thread %d is doing: %w", tid, err)
		}
		return number, nil
	}
	return 0, fmt.Errorf("thread %d does not come to rest", tid)
}
