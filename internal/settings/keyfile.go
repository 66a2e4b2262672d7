package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"mxcluster/internal/fault"
)

// maxKeyFile bounds what is read of a key file, in bytes; MaxKeys lines are far less.
const maxKeyFile = 1024

// LoadKeys reads the gossip keys. Whoever reads them can order the cluster about,
// so a file that others may read or have written is fault.NotPermitted; a
// missing or damaged one is fault.Invalid.
func LoadKeys(path string) (Keys, error) {
	f, err := openSecret(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Invalid, noKeyHint, "there is no gossip key %s", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.New(fault.NotPermitted, "run the command as root", "may not read the gossip key %s", path)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	if err := checkSecret(f, "gossip key", badKeyHint); err != nil {
		return nil, err
	}
	keys, err := ReadKeys(f)
	return keys, fault.Wrap(err, fault.CodeOf(err), "", "%s", path)
}

// ReadKeys reads gossip keys from a stream.
func ReadKeys(r io.Reader) (Keys, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the gossip key: %w", err)
	}
	return ParseKeys(text)
}

// WriteKeys puts gossip keys in their place, with mode 0600. Where there are keys
// already and one of them is among these, it is the same system, and these are the
// newer; else it is fault.Refused and the file stays, for the system that it belongs
// to would be locked out.
func WriteKeys(path string, keys Keys) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return writeError(err, path)
	}
	err := linkKeys(path, keys)
	if !errors.Is(err, fs.ErrExist) {
		return writeError(err, path)
	}
	old, err := LoadKeys(path)
	switch {
	case err != nil:
		return err
	case old.Equal(keys):
		return nil
	case !sameSystem(old, keys):
		return fault.New(fault.Refused, "this server belongs to another system: remove the file if it shall leave that",
			"%s holds another gossip key", path)
	}
	return ReplaceKeys(path, old, keys)
}

func sameSystem(a, b Keys) bool {
	for _, key := range a {
		if b.Has(key) {
			return true
		}
	}
	return false
}

// ReplaceKeys makes keys durable in the place of old ones. A file that holds others
// by now was edited, and stays: fault.Busy.
func ReplaceKeys(path string, old, keys Keys) error {
	there, err := LoadKeys(path)
	switch {
	case err != nil:
		return err
	case !there.Equal(old):
		return fault.New(fault.Busy, "have the agent take it: mxcluster agent reload", "%s was edited meanwhile", path)
	}
	target, err := filepath.EvalSymlinks(path) // renameio would replace the link
	if err != nil {
		return writeError(err, path)
	}
	if err := renameio.WriteFile(target, []byte(keys.format()), 0o600); err != nil {
		return writeError(err, path)
	}
	if err := syncFolder(filepath.Dir(target)); err != nil {
		return writeError(err, path)
	}
	return nil
}

// linkKeys makes the file whole or not at all. A rename would replace a key that
// came to be there meanwhile; a link fails with fs.ErrExist.
func linkKeys(path string, keys Keys) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".gossip.key") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(keys.format())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}
