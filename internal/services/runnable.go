package services

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/trusted"
)

// unaskedError is the error for a program that is refused without being called, such as one that
// other users may change. Software that it started may go on: that it cannot be asked does not mean
// that it failed.
type unaskedError struct{ error }

func (e unaskedError) Unwrap() error { return e.error }

// unasked reports whether err is an unaskedError.
func unasked(err error) bool {
	var e unaskedError
	return errors.As(err, &e)
}

// runnable checks that a program can be run and, unless untrusted programs are permitted, that only
// root and this process's user can change it.
func (p *program) runnable(path string) error {
	if p.opt.OwnUser != "" && p.opt.Systemd.Runs() {
		return unaskedError{fault.New(fault.NotPermitted, "", "user %s starts units of systemd alone: remove own-user.conf from the agent's unit, or make the software a unit", p.opt.OwnUser)}
	}
	if err := checkProgram(path); err != nil || p.opt.Untrusted {
		return err
	}
	err := trusted.Path(path)
	if err == nil {
		return nil
	}
	hint := fault.HintOf(err) + "; --force of 'mxcluster agent run' and 'mxcluster service' passes over it"
	return unaskedError{fault.New(fault.CodeOf(err), hint, "program %v", err)}
}

// checkProgram finds the reason why a program cannot be run, each with its own remedy. The kernel
// reports most of them as "no such file" or "permission denied".
func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return fault.New(fault.NotFound, "install it, or correct it with 'mxcluster lim set N --service exec:PATH'",
			"program %s does not exist", path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fault.New(fault.Invalid, "name the program itself in exec:PATH", "%s is not a file", path)
	case info.Mode().Perm()&0o111 == 0:
		return fault.New(fault.NotPermitted, "run 'chmod +x "+path+"'", "program %s is not executable", path)
	case mountedNoexec(path):
		return fault.New(fault.NotPermitted, "put it on another file system, or mount that one without noexec",
			"program %s lies on a file system that is mounted noexec", path)
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return fault.Wrap(err, fault.NotPermitted, "check the rights of the file and its folders", "program %s may not be run", path)
	}
	return checkStart(path)
}

// maxFirstLine is how much of a program the kernel reads to find its interpreter.
const maxFirstLine = 256

// checkStart checks the beginning of a program: a script must name an interpreter that exists.
// Binaries are left to the kernel.
func checkStart(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // it may be executable without being readable
	}
	defer f.Close()
	buf := make([]byte, maxFirstLine)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("reading program %s: %w", path, err)
	}
	head, isScript := bytes.CutPrefix(buf[:n], []byte("#!"))
	switch {
	case n == 0:
		return fault.New(fault.Invalid, "install it anew", "program %s is empty", path)
	case !isScript && bytes.IndexByte(buf[:n], 0) >= 0:
		return nil
	case !isScript:
		return fault.New(fault.Invalid, "begin it with the line #!/bin/sh, or that of another interpreter", "program %s does not begin with #!, so that the kernel cannot run it", path)
	}
	line, _, _ := strings.Cut(string(head), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return fault.New(fault.Invalid, "write it as in #!/bin/sh", "the first line of program %s names no interpreter", path)
	}
	if strings.HasSuffix(line, "\r") {
		return fault.New(fault.Invalid, "take the carriage returns out: sed -i 's/\\r$//' "+path, "program %s has lines that end as on Windows", path)
	}
	if info, err := os.Stat(words[0]); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fault.New(fault.Failed, "install it, or correct that line", "the first line of program %s names %s, which is no program here", path, words[0])
	}
	return nil
}

// mountedNoexec reports whether a program is on a file system mounted noexec.
func mountedNoexec(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && noexec(real)
}
