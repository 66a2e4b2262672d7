package tree

import (
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// System calls that other systems lack, or have with other types.

func modeOf(st *unix.Stat_t) uint32 { return st.Mode }

// BlockSize returns the unit of a file system's counts, in bytes.
func BlockSize(st *unix.Statfs_t) int64 { return st.Bsize }

// mayOwn tells whether this process may give files to other users.
func mayOwn() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return unix.Capget(&header, &sets[0]) == nil && sets[0].Effective&(1<<unix.CAP_CHOWN) != 0
}

// startWriting starts to write a part of a file to the disk in the background.
func startWriting(fd int, off, n int64) {
	// The sync at the end reports errors.
	_ = unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// syncFileSystem makes everything written to a file system durable.
func syncFileSystem(fd int) error { return unix.Syncfs(fd) }

// allocate allocates room for a part of a file, and extends it.
func allocate(fd int, off, n int64) error { return unix.Fallocate(fd, 0, off, n) }

// release frees allocated room. Where that is not possible it stays allocated.
func release(fd int, off, n int64) {
	_ = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// Born returns the birth time of a file or folder; ok is false where the file system keeps none.
func (d *Opener) Born(name string) (at int64, ok bool) {
	dir, base, err := d.at(name)
	if err != nil {
		return 0, false
	}
	var st unix.Statx_t
	err = unix.Statx(dir, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, unix.STATX_BTIME, &st)
	return manifest.Nanoseconds(time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))), err == nil && st.Mask&unix.STATX_BTIME != 0
}

// What seek looks for.
const (
	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

// KeepsHoles tells whether the file system of a folder supports holes.
func KeepsHoles(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false
	}
	const exfat, hfs, hfsPlus = 0x2011BAB0, 0x4244, 0x482B
	switch st.Type {
	case unix.MSDOS_SUPER_MAGIC, exfat, hfs, hfsPlus:
		return false
	}
	return true
}

// setDirect turns direct I/O of an open file on or off.
func setDirect(fd int, on bool) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags &^= unix.O_DIRECT; on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	return err
}
