package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"mxcluster/internal/fault"
)

// OwnUser is the user that the agent may run as in place of root. Where the configuration
// folder belongs to it, root's commands act as that user, too: what they make is its.
const OwnUser = "mxcluster"

// Owner tells whose a folder is; ok is false where there is none.
func Owner(folder string) (uid int, ok bool) {
	info, err := os.Stat(folder)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// HandOver gives the folders of an instance and the files in them to a user, and makes the
// state folder where it is missing. Data versions stay whose they are, but for what lies
// beside them, in the folder xdata ("": the default one). A folder that is that user's
// already is left as it is, so that nothing of what the user does there is believed; no
// link is followed.
func (d Dirs) HandOver(uid, gid int, xdata string) (changed bool, err error) {
	if err := os.MkdirAll(d.State, 0o755); err != nil {
		return false, fault.Wrap(err, fault.CodeOf(err), "", "making the state folder")
	}
	if xdata == "" {
		xdata = d.xdata()
	}
	folders := []string{d.State, d.Config} // by the last one commands see whose they are
	if rel, err := filepath.Rel(d.State, xdata); err != nil || strings.HasPrefix(rel, "..") {
		folders = append([]string{xdata}, folders...)
	}
	data := []string{xdata, d.xdata()} // that one may hold older versions
	for _, folder := range folders {
		given, err := handOver(folder, uid, gid, data)
		if err != nil {
			return changed, fmt.Errorf("giving %s to user %d: %w", folder, uid, err)
		}
		changed = changed || given
	}
	return changed, nil
}

// handOver gives one folder to a user. Root takes the folder before what is in it, so that
// nobody exchanges that meanwhile; another user gets it last.
func handOver(folder string, uid, gid int, data []string) (changed bool, err error) {
	owner, ok := Owner(folder)
	if !ok || owner == uid {
		return false, nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return false, err
	}
	defer root.Close()
	if uid == 0 {
		if err := root.Chown(".", uid, gid); err != nil {
			return false, err
		}
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains(data, filepath.Dir(filepath.Join(folder, name))) {
			return fs.SkipDir
		}
		if name == "." {
			return nil
		}
		if err := root.Lchown(name, uid, gid); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err == nil && uid != 0 {
		err = root.Chown(".", uid, gid)
	}
	return err == nil, err
}
