package xdata

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// mark is what the store notes beside a version: that it is complete, however
// young, if the store made it, and what was found when it was last read. It lies
// outside the version, whose content it must not change, and holds the folder's
// inode, so that it never speaks of another folder that came to have the same name.
type mark struct {
	Inode    uint64     `json:"inode"`
	Verified *time.Time `json:"verified"`
	Foreign  bool       `json:"foreign,omitempty"` // made by another program, which may write to it again
	Damage   string     `json:"damage,omitempty"`  // what is wrong with it; "": nothing that is known
	Reason   string     `json:"reason,omitempty"`  // why it was made
}

const markPrefix = ".mark-"

func (s *Store) markPath(name string) string {
	return filepath.Join(s.Dir, markPrefix+name+".json")
}

// putMark writes the mark of a version; its inode is filled in.
func (s *Store) putMark(root *os.Root, name string, m mark) (err error) {
	if m.Inode, err = inodeOf(root); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.markPath(name), data, 0o644)
}

// readMark returns the mark of a version, or nil when it has none of its own.
// An unreadable mark counts as none: the version is then judged as any other.
func (s *Store) readMark(root *os.Root, name string) (*mark, error) {
	data, err := os.ReadFile(s.markPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	inode, err := inodeOf(root)
	if err != nil {
		return nil, err
	}
	var m mark
	if json.Unmarshal(data, &m) != nil || m.Inode != inode {
		return nil, nil
	}
	return &m, nil
}

// markOf returns the mark of the version of that name, or nil.
func (s *Store) markOf(name string) (*mark, error) {
	root, err := os.OpenRoot(filepath.Join(s.Dir, name))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return s.readMark(root, name)
}

// inodeOf returns the inode of the folder itself, which a rename keeps.
func inodeOf(root *os.Root) (uint64, error) {
	info, err := root.Stat(".")
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}
