package safepath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // followed for one path, as the kernel has it

// find goes to a folder part by part, and tells which one it is.
func find(path string) (fs.FileInfo, error) {
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	defer func() { unix.Close(at) }()
	parts, links, gone := strings.Split(path, "/"), 0, "/"
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if part == "" || part == "." {
			continue
		}
		next, link, err := step(at, part)
		if err == nil && link != "" {
			if links++; links > maxLinks {
				err = unix.ELOOP
			}
			parts = append(strings.Split(link, "/"), parts...)
		}
		if err == nil && strings.HasPrefix(link, "/") {
			next, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: filepath.Join(gone, part), Err: err}
		}
		switch {
		case strings.HasPrefix(link, "/"):
			gone = "/"
		case link == "":
			gone = filepath.Join(gone, part)
		}
		if next >= 0 {
			unix.Close(at)
			at = next
		}
	}
	f := os.NewFile(uintptr(at), path)
	at, err = unix.Dup(at)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	defer f.Close()
	return f.Stat()
}

// step goes into a folder, or tells where a link leads that may be followed; next is -1 then.
func step(at int, part string) (next int, link string, err error) {
	next, err = unix.Openat(at, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	var dir, st unix.Stat_t
	if err := errors.Join(unix.Fstat(at, &dir), unix.Fstat(next, &st)); err != nil {
		unix.Close(next)
		return -1, "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return next, "", nil
	}
	defer unix.Close(next)
	sticky := dir.Mode&unix.S_ISVTX != 0 && trusted(dir.Uid) && trusted(st.Uid)
	if othersWrite(&dir) && !sticky && !confined() {
		return -1, "", ErrLink
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(next, "", buf)
	return -1, string(buf[:max(n, 0)]), err
}

// othersWrite tells whether somebody else than root and who runs this may write to a folder.
func othersWrite(st *unix.Stat_t) bool {
	return !trusted(st.Uid) || st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && st.Gid != 0
}

func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// confined tells whether this runs as the root of a user namespace: it may do no more outside
// than the user who made that, and sees other owners as nobody.
func confined() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(data))
	return err == nil && len(fields) >= 3 && fields[2] != "4294967295"
}

// mine tells whether a file belongs to who runs this.
func mine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
