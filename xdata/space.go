package xdata

import (
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// SpaceFunc returns the bytes and the files that a file system still has room
// for. files is negative where it knows no limit.
type SpaceFunc func(dir string) (bytes, files int64, err error)

// kernelSpace asks the kernel, for what this user may still use.
func kernelSpace(dir string) (bytes, files int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	files = int64(st.Ffree)
	if st.Files == 0 { // file systems that make inodes as they go say 0 of 0
		files = -1
	}
	return int64(st.Bavail) * st.Bsize, files, nil
}

const (
	spaceMargin = 64 << 20 // bytes left for everybody else on the file system
	filesMargin = 1000
	blockBytes  = 4 << 10 // a file takes whole blocks
)

// checkSpace refuses a version that would not fit, before anything is written.
func (s *Store) checkSpace(bytes int64, files int) error {
	space := s.Space
	if space == nil {
		space = kernelSpace
	}
	free, inodes, err := space(s.Dir)
	if err != nil {
		return err
	}
	need := bytes + int64(files)*blockBytes
	if free-spaceMargin < need {
		return fault.New(fault.Refused, "make room there, or remove old versions with 'mxcluster xdata prune'",
			"%s has %d MiB free, the version needs %d MiB and %d MiB are kept free",
			s.Dir, free>>20, need>>20, int64(spaceMargin)>>20)
	}
	if inodes >= 0 && inodes-filesMargin < int64(files) {
		return fault.New(fault.Refused, "remove files there, or remove old versions with 'mxcluster xdata prune'",
			"%s has room for %d more files, the version has %d", s.Dir, inodes, files)
	}
	return nil
}
