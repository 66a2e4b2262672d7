package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mount is an entry of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	path, kind string
}

// parseMounts reads them, in the order in which they were made.
func parseMounts(text string) (list []mount, err error) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(rest) < 1 {
			return nil, fmt.Errorf("a mount that cannot be read: %q", line)
		}
		list = append(list, mount{unescape(fields[4]), rest[0]})
	}
	return list, nil
}

// unescape reads \040 and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// layers returns the mounts over which the software gets a layer of its own, those that
// lie on others after them. What the kernel shows of itself is made anew, or not there.
func layers(mounts []mount) (out []mount) {
	own := []string{"/proc", "/sys", "/dev"}
	for i, m := range mounts {
		hidden := slices.ContainsFunc(mounts[i+1:], func(later mount) bool { return later.path == m.path })
		special := slices.ContainsFunc(own, func(dir string) bool { return m.path == dir || strings.HasPrefix(m.path, dir+"/") })
		if !hidden && !special && !slices.Contains(ofKernel, m.kind) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b mount) int {
		return strings.Count(strings.TrimRight(a.path, "/"), "/") - strings.Count(strings.TrimRight(b.path, "/"), "/")
	})
	return out
}

// ofKernel are file systems that hold no files.
var ofKernel = []string{"proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "debugfs", "tracefs", "securityfs", "bpf",
	"configfs", "fusectl", "autofs", "rpc_pipefs", "nsfs", "binfmt_misc", "hugetlbfs", "pstore", "efivarfs", "selinuxfs"}

// defaultRoom is how much of the memory the software may fill with what it writes.
const defaultRoom = "25%"

// roomOf returns the same, in bytes where a rehearsal says how many.
func roomOf(bytes uint64) string {
	if bytes == 0 {
		return defaultRoom
	}
	return strconv.FormatUint(bytes, 10)
}

// newRoot gives this process, the first of its namespaces, a tree of files that looks like
// the server's. What is written to it stays in memory, goes with the namespace, and is
// seen by nobody else: each file system is the lower layer of one of its own. Sockets and
// pipes of the server's lead nowhere, for the layer has other ones in their place.
func newRoot(scratch, room string) error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	mounts, err := parseMounts(string(raw))
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("rehearsal", scratch, "tmpfs", unix.MS_NODEV, "mode=0755,size="+room); err != nil {
		return fmt.Errorf("making room for what it writes: %w", err)
	}
	if err := unix.Chdir(scratch); err != nil { // so that its name stands in no option of a mount
		return err
	}
	root := filepath.Join(scratch, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	for i, m := range layers(mounts) {
		if err := cover(m, root, strconv.Itoa(i)); err != nil {
			return fmt.Errorf("laying a layer over %s: %w", m.path, err)
		}
	}
	if err := newDev(root, room); err != nil {
		return err
	}
	if err := newProc(root); err != nil {
		return err
	}
	if err := newSys(root); err != nil {
		return err
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering its files: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the server's files: %w", err)
	}
	return unix.Chdir("/")
}

// cover lays a layer, of that name in this folder, over a mount, in the new root. A single
// file is shown as it is. What does not answer is left out: what it lies on shows.
func cover(m mount, root, layer string) error {
	at := filepath.Join(root, m.path)
	info, err := os.Stat(m.path)
	switch {
	case err != nil && m.path != "/":
		return nil // something lies over it, or it does not answer
	case err != nil:
		return err
	case info.Mode().IsRegular():
		return readOnly(m.path, at)
	case !info.IsDir():
		return nil // a socket would be the server's
	case strings.ContainsAny(m.path, `,:\`):
		return errors.New("its name has a character that cannot be passed on")
	}
	upper, work := layer+"-upper", layer+"-work"
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	if err := like(upper, info); err != nil {
		return err
	}
	return unix.Mount("rehearsal", at, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", m.path, upper, work))
}

// like gives a folder the mode and the owner of another one.
func like(dir string, info os.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, info.Mode())
}

// readOnly shows a file or a folder of the server's.
func readOnly(from, at string) error {
	if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// newDev makes /dev with what every program needs, and no device of the server's.
func newDev(root, room string) error {
	dev := filepath.Join(root, "dev")
	if err := unix.Mount("dev", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=1%"); err != nil {
		return fmt.Errorf("making /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		at := filepath.Join(dev, name)
		if err := os.WriteFile(at, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
	}
	for _, d := range []struct{ name, kind, options string }{{"pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"}, {"shm", "tmpfs", "mode=1777,size=" + room}} {
		at := filepath.Join(dev, d.name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(d.name, at, d.kind, unix.MS_NOSUID, d.options); err != nil {
			return fmt.Errorf("making /dev/%s: %w", d.name, err)
		}
	}
	for name, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

// newProc shows the processes of the namespace alone. The settings of the kernel can be
// read, those of the network that leads nowhere written, too.
func newProc(root string) error {
	proc := filepath.Join(root, "proc")
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("making /proc: %w", err)
	}
	sys, net := filepath.Join(proc, "sys"), filepath.Join(proc, "sys/net")
	if err := unix.Mount(sys, sys, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("making /proc/sys: %w", err)
	}
	if err := unix.Mount(net, net, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("making /proc/sys/net: %w", err)
	}
	if err := unix.Mount("", sys, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making /proc/sys: %w", err)
	}
	if err := unix.Mount("/dev/null", filepath.Join(proc, "sysrq-trigger"), "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("hiding /proc/sysrq-trigger: %w", err)
	}
	return nil
}

// newSys shows what the kernel tells of the machine.
func newSys(root string) error {
	if err := unix.Mount("sysfs", filepath.Join(root, "sys"), "sysfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("making /sys: %w", err)
	}
	return nil
}
