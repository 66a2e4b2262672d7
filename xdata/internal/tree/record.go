package tree

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// LineageName is the file in the folder of a version that [Store.Backup] made, in which
// it says what it follows. It lies inside, so that a copy of the folder has it, too, but
// belongs neither to its content nor to what is restored.
const LineageName = ".mxcluster-lineage"

// isNote tells whether what lies in a version's own folder is a note about it.
func isNote(name string) bool { return name == LineageName || name == CompleteMarker }

// withoutNotes leaves out what lies in a version's folder and is not part of it.
func withoutNotes(names []string) []string { return slices.DeleteFunc(names, isNote) }

// ReadRecord returns what a version says of itself; nil where it says nothing, or what
// cannot be read: it then is as one of another program.
func ReadRecord(root *os.Root) *manifest.Record {
	f, err := root.OpenFile(LineageName, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, manifest.MaxRecord)
	n, err := Handle{Fd: int(f.Fd()), Name: LineageName}.Pread(b, 0)
	if err == nil || n == 0 {
		return nil // it is longer, or empty
	}
	return manifest.DecodeRecord(b[:n])
}

// ContentMismatch says that a version is not what it says it was when it was made; nothing where
// it is, or says nothing. It tells damage of a copy of the version, too, beside which
// nothing is noted.
func ContentMismatch(root *os.Root, content []byte) (damage []string) {
	if r := ReadRecord(root); r != nil && r.Made && r.Node.Content != hex.EncodeToString(content) {
		return []string{"its content is not what it was when it was made"}
	}
	return nil
}

// WriteRecord puts a record into the folder of a version that is not visible yet, and
// gives the folder its attributes again.
func WriteRecord(root *os.Root, r *manifest.Record, top manifest.Attributes) error {
	b, err := r.Encode()
	if err != nil {
		return err
	}
	err = root.WriteFile(LineageName, b, 0o644)
	if errors.Is(err, fs.ErrPermission) { // its mode may forbid that to an ordinary user
		if err = root.Chmod(".", 0o700); err == nil {
			err = root.WriteFile(LineageName, b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	in := Opener{Root: root}
	defer in.Close()
	return SetDirAttributes(&in, ".", &top)
}

// CompleteMarker is the file in a version's own folder by which another program says that
// the version is complete, with nothing to wait for. It is about the version and not part
// of it: it is neither counted, copied nor restored.
const CompleteMarker = ".mxcluster-complete"
