package xdata

import (
	"errors"
	"os"
	"path/filepath"
)

// replaceFile writes a file that others may read meanwhile, and that shows by
// itself when a crash took some or all of it away. It does not wait for the disk,
// which two times in a row is most of what a sync with nothing to do would take.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
