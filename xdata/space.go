package xdata

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/tree"
)

// SpaceFunc returns how many bytes and files the file system of dir has room for. files is negative
// where there is no limit.
type SpaceFunc func(dir string) (bytes, files int64, err error)

// kernelSpace asks the kernel for the room that this user may use.
func kernelSpace(dir string) (bytes, files int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	files = int64(st.Ffree)
	if st.Files == 0 { // file systems without a fixed number of inodes say 0 of 0
		files = -1
	}
	return int64(st.Bavail) * tree.BlockSize(&st), files, nil
}

// StandbySpare is the [Store.Spare] of a standby, which must have room for two more backups of each
// LIM (spec ch. 6).
const StandbySpare = 2

const (
	spaceMargin = 64 << 20 // bytes that stay free for others on the file system
	filesMargin = 1000
	maxNeed     = 1 << 60
	blockBytes  = 4 << 10 // a file uses whole blocks
)

// volume is the size of a version on the disk.
type volume struct {
	bytes   int64 // of all files
	content int64 // of bytes, without holes
	files   int   // and folders
}

// Free returns how many bytes this user may still use where the versions are.
func (s *Store) Free() (int64, error) {
	space := s.Space
	if space == nil {
		space = kernelSpace
	}
	free, _, err := space(existing(s.Dir))
	return free, err
}

// checkSpace refuses a version that does not fit, before anything is written.
func (s *Store) checkSpace(v volume) error { return s.Space.check(s.Dir, v, max(s.Spare, 1)) }

// check refuses a volume that does not fit into a folder times over. A nil SpaceFunc asks the
// kernel.
func (space SpaceFunc) check(dir string, v volume, times int) error {
	if space == nil {
		space = kernelSpace
	}
	free, inodes, err := space(existing(dir))
	if err != nil {
		return err
	}
	bytes, files := v.content, v.files
	if !tree.KeepsHoles(existing(dir)) {
		bytes = v.bytes
	}
	// The numbers may come from a peer: they must not overflow.
	need := (min(bytes, maxNeed) + int64(files)*blockBytes) * int64(times)
	if free-spaceMargin < need {
		return fault.New(fault.Refused, "make room there, or remove old versions with 'mxcluster xdata prune'",
			"%s has %d MiB free, %s takes %d MiB and %d MiB are kept free",
			dir, free>>20, asMany(times), mebibytes(need), int64(spaceMargin)>>20)
	}
	if inodes >= 0 && inodes-filesMargin < int64(files)*int64(times) {
		return fault.New(fault.Refused, "remove files there, or remove old versions with 'mxcluster xdata prune'",
			"%s has room for %d more files, %s has %d", dir, inodes, asMany(times), files*times)
	}
	return nil
}

// asMany words the number of versions that there must be room for.
func asMany(times int) string {
	if times == 1 {
		return "the version"
	}
	return fmt.Sprintf("a standby keeps room for %d more versions of each LIM, which of this one", times)
}

// mebibytes rounds up.
func mebibytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// noRoom gives the error of a full file system its remedy.
func noRoom(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Wrap(err, fault.Failed, "make room there, or remove old versions with 'mxcluster xdata prune'",
			"%s is full; nothing was changed", dir)
	}
	return err
}

func volumeOf(t *tree.Totals) volume {
	return volume{bytes: t.Bytes, content: t.Content, files: t.Files + t.Folders}
}
