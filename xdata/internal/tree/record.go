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

// LineageName is the file with a version's record, in the folder of the version. It is copied with
// the folder, but is not part of the version's content and not restored.
const LineageName = ".mxcluster-lineage"

// isNote tells whether a file in a version's folder is about the version, and not part of it.
func isNote(name string) bool { return name == LineageName || name == CompleteMarker }

// withoutNotes removes these from a list of names.
func withoutNotes(names []string) []string { return slices.DeleteFunc(names, isNote) }

// ReadRecord returns the record of a version; nil if there is none that can be read: the version is
// then judged like one of another program.
func ReadRecord(root *os.Root) *manifest.Record {
	f, err := root.OpenFile(LineageName, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, manifest.MaxRecord)
	n, err := Handle{Fd: int(f.Fd()), Name: LineageName}.Pread(b, 0)
	if err == nil || n == 0 {
		return nil // longer, or empty
	}
	return manifest.DecodeRecord(b[:n])
}

// ContentMismatch describes the damage of a version whose content is not that in its record; nil:
// it is, or there is no record. It detects damage in a copied version as well, which has no index.
func ContentMismatch(root *os.Root, content []byte) (damage []string) {
	if r := ReadRecord(root); r != nil && r.Made && r.Node.Content != hex.EncodeToString(content) {
		return []string{"its content is not what it was when it was made"}
	}
	return nil
}

// WriteRecord writes the record into the folder of a version that is not visible yet, and sets the
// folder's attributes again.
func WriteRecord(root *os.Root, r *manifest.Record, top manifest.Attributes) error {
	b, err := r.Encode()
	if err != nil {
		return err
	}
	err = root.WriteFile(LineageName, b, 0o644)
	if errors.Is(err, fs.ErrPermission) { // the folder's mode may not permit it to an ordinary user
		if err = root.Chmod(".", 0o700); err == nil {
			err = root.WriteFile(LineageName, b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	in := Opener{Root: root}
	defer in.Close()
	return setDirAttributes(&in, ".", &top)
}

// CompleteMarker is a file in a version's folder by which another program declares the version
// complete. It is not counted, copied or restored.
const CompleteMarker = ".mxcluster-complete"
