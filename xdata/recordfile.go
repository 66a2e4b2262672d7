package xdata

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// lineageName is the file in the folder of a version that [Store.Backup] made, in which
// it says what it follows. It lies inside, so that a copy of the folder has it, too, but
// belongs neither to its content nor to what is restored.
const lineageName = ".mxcluster-lineage"

// isNote tells whether what lies in a version's own folder is a note about it.
func isNote(name string) bool { return name == lineageName || name == CompleteMarker }

// withoutNotes leaves out what lies in a version's folder and is not part of it.
func withoutNotes(names []string) []string { return slices.DeleteFunc(names, isNote) }

// readRecord returns what a version says of itself; nil where it says nothing, or what
// cannot be read: it then is as one of another program.
func readRecord(root *os.Root) *record {
	f, err := root.OpenFile(lineageName, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, maxRecord)
	n, err := handle{fd: int(f.Fd()), name: lineageName}.pread(b, 0)
	if err == nil || n == 0 {
		return nil // it is longer, or empty
	}
	return decodeRecord(b[:n])
}

// misfit says that a version is not what it says it was when it was made; nothing where
// it is, or says nothing. It tells damage of a copy of the version, too, beside which
// nothing is noted.
func misfit(root *os.Root, content []byte) (damage []string) {
	if r := readRecord(root); r != nil && r.Made && r.Node.Content != hex.EncodeToString(content) {
		return []string{"its content is not what it was when it was made"}
	}
	return nil
}

// writeRecord puts a record into the folder of a version that is not visible yet, and
// gives the folder its attributes again.
func writeRecord(root *os.Root, r *record, top attributes) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	err = root.WriteFile(lineageName, b, 0o644)
	if errors.Is(err, fs.ErrPermission) { // its mode may forbid that to an ordinary user
		if err = root.Chmod(".", 0o700); err == nil {
			err = root.WriteFile(lineageName, b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	in := folders{root: root}
	defer in.close()
	return dressFolder(&in, ".", &top)
}

// CompleteMarker is the file in a version's own folder by which another program says that
// the version is complete, with nothing to wait for. It is about the version and not part
// of it: it is neither counted, copied nor restored.
const CompleteMarker = ".mxcluster-complete"
