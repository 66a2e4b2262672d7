// Package trusted tells whether only root and this process's own user can change what a
// path leads to: a program that root runs, or settings that root follows, are as
// powerful as root itself.
package trusted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// maxLinks is how many symbolic links are followed on one way, as the kernel does.
const maxLinks = 40

// Path looks at what an absolute path leads to and at every folder and symbolic link on
// the way. Something that another user may change or exchange is fault.NotPermitted and
// is named with its owner and mode. Folders where everybody may write are taken if they
// are sticky, as /tmp is. What is not there is nobody's: the folders before it are
// looked at, and the error is nil.
func Path(path string) error {
	if !filepath.IsAbs(path) {
		return fault.New(fault.Usage, "give the full path", "%s is not a full path", path)
	}
	at, left, links := "/", strings.Split(filepath.Clean(path), "/"), 0
	for {
		target, missing, err := look(at, path)
		switch {
		case err != nil || missing:
			return err
		case target != "":
			if links++; links > maxLinks {
				return fault.New(fault.Invalid, "name the file itself", "%s: too many symbolic links", path)
			}
			left = append(strings.Split(target, "/"), left...)
			at = filepath.Dir(at)
			if filepath.IsAbs(target) {
				at = "/"
			}
		}
		for len(left) > 0 && (left[0] == "" || left[0] == ".") {
			left = left[1:]
		}
		if len(left) == 0 {
			return nil
		}
		at, left = filepath.Join(at, left[0]), left[1:]
	}
}

// look checks one step of the way; target is where a symbolic link leads.
func look(at, whole string) (target string, missing bool, err error) {
	var st unix.Stat_t
	switch err := unix.Lstat(at, &st); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return "", true, nil
	case err != nil:
		return "", false, &os.PathError{Op: "lstat", Path: at, Err: err}
	}
	kind, mode := uint32(st.Mode)&unix.S_IFMT, uint32(st.Mode)&0o7777 //nolint:unconvert // narrower elsewhere
	what := whole
	if at != whole {
		what += ": " + at
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() && !unmapped(st.Uid) {
		return "", false, fault.New(fault.NotPermitted, "take it over: chown root "+at,
			"%s belongs to user %d (mode %04o), who may change it", what, st.Uid, mode)
	}
	if kind == unix.S_IFLNK { // its mode says nothing; who may exchange it, that of its folder
		target, err := os.Readlink(at)
		return target, false, err
	}
	sticky := kind == unix.S_IFDIR && mode&unix.S_ISVTX != 0
	if open := writable(mode, st.Gid); open != "" && !sticky {
		return "", false, fault.New(fault.NotPermitted, "close it to them: chmod go-w "+at,
			"%s may be written by %s (mode %04o)", what, open, mode)
	}
	return "", false, nil
}

// unmapped tells whether an owner is one of those that this user namespace does not know,
// root outside it most of all. The kernel shows all of them as one user; only modes tell
// of them. Source: user_namespaces(7).
func unmapped(owner uint32) bool {
	shown, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil || strings.TrimSpace(string(shown)) != strconv.FormatUint(uint64(owner), 10) {
		return false
	}
	known, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(known)), " ") != "0 0 4294967295"
}

// writable says who besides the owner may write. Root's group, and this process's own,
// are not others.
func writable(mode, group uint32) string {
	switch {
	case mode&0o002 != 0:
		return "every user"
	case mode&0o020 != 0 && group != 0 && int(group) != os.Getegid():
		return fmt.Sprintf("group %d", group)
	}
	return ""
}

// maxSecret bounds what is read of a secret's file, in bytes.
const maxSecret = 4096

// Secret reads a file that holds one secret and nothing else; the end of its line does
// not count. A file that others may read, or have written, is fault.NotPermitted; a
// missing or empty one, or one of several lines, is fault.Invalid.
func Secret(path string) (string, error) {
	const hint = "write the value alone into it, and chmod 600 it"
	if err := Path(path); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, hint, "reading a value")
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fault.New(fault.Invalid, hint, "%s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fault.New(fault.NotPermitted, "close it to others: chmod 600 "+path, "%s has mode %04o, others may read it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading a value: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 || len(text) > maxSecret || bytes.ContainsAny(text, "\r\n\x00") {
		return "", fault.New(fault.Invalid, hint, "%s does not hold one line of at most %d bytes", path, maxSecret)
	}
	return string(text), nil
}
