package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// harmless are the system calls that no file learns of: waiting, signals, threads
// and memory. How many there are depends on how the threads are scheduled.
var harmless = []uint64{
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT,
	unix.SYS_TGKILL, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK,
	unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT,
}

// looking are the system calls that ask and change nothing which outlives the process.
// A process that is killed at one leaves what it leaves at the next other one.
var looking = []uint64{
	unix.SYS_CLOSE, unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX,
	unix.SYS_GETDENTS64, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_FCNTL, unix.SYS_DUP,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_SOCKET, unix.SYS_RT_SIGACTION,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_UMASK, unix.SYS_PRCTL, unix.SYS_PRLIMIT64,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_BRK, unix.SYS_SET_TID_ADDRESS,
}

// tracedCall is a system call that a stopped thread is about to make, or has made.
type tracedCall struct {
	begins bool
	number uint64
	args   [6]uint64
}

// anyCall counts every call that is not harmless.
func anyCall(c tracedCall) bool { return !slices.Contains(harmless, c.number) }

// changing counts the calls that may change a file, or that others learn of.
func changing(c tracedCall) bool {
	if c.number == unix.SYS_OPENAT {
		return c.args[2]&(unix.O_CREAT|unix.O_TRUNC) != 0
	}
	return anyCall(c) && !slices.Contains(looking, c.number)
}

// killAt runs a command and sends it a signal when it is about to make the n-th of its
// system calls that count, over all of its threads: with SIGKILL that call is not made
// any more. It returns how the process ended and how many such calls it had begun.
// strace's fault injection counts for each thread, and so cannot reach every call of a
// program whose work moves from thread to thread.
func killAt(cmd *exec.Cmd, n int, signal syscall.Signal, counts func(tracedCall) bool) (end syscall.WaitStatus, calls int, err error) {
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
	for tid := pid; ; {
		if err := step(tid, pid, status, counts, &calls, n, signal); err != nil {
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
func step(tid, pid int, status syscall.WaitStatus, counts func(tracedCall) bool, calls *int, n int, send syscall.Signal) error {
	if !status.Stopped() {
		return nil // a thread ended
	}
	deliver := 0
	switch signal := status.StopSignal(); signal {
	case syscall.SIGTRAP | 0x80: // a system call
		c, err := callOf(tid)
		switch {
		case errors.Is(err, unix.ESRCH): // it was killed meanwhile
			return nil
		case err != nil:
			return os.NewSyscallError("ptrace", err)
		}
		if c.begins && counts(c) {
			*calls++
			if *calls == n {
				if err := syscall.Kill(pid, send); err != nil {
					return os.NewSyscallError("kill", err)
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

// callOf returns the system call that a stopped thread is in.
func callOf(tid int) (tracedCall, error) {
	var info struct { // struct ptrace_syscall_info of linux/ptrace.h
		op     uint8
		_      [3]uint8
		_      uint32
		_, _   uint64
		number uint64
		args   [6]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return tracedCall{}, errno
	}
	return tracedCall{info.op == unix.PTRACE_SYSCALL_INFO_ENTRY, info.number, info.args}, nil
}
