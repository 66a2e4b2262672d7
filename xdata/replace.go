package xdata

import (
	"os"

	"mxcluster/internal/safepath"
)

// replaceFile writes a file that others may read meanwhile, and that shows by
// itself when a crash took some or all of it away. It does not wait for the disk,
// which two times in a row is most of what a sync with nothing to do would take.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	return safepath.WriteFile(name, data, mode, false)
}
