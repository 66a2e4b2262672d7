package settings

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mxcluster/internal/fault"
)

// keySize is that of AES-256, in bytes.
const keySize = 32

const (
	noKeyHint  = "the first server gets it by mxcluster init, every other one by mxcluster join ADDR --key-file FILE"
	badKeyHint = "copy the file from a server of the system, or on a new system remove it and run mxcluster init"
)

// NewKey makes the gossip key of a new system of 32 bytes of random.
func NewKey(random io.Reader) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("making a gossip key: %w", err)
	}
	return key, nil
}

// ParseKey reads a gossip key as its file holds it: 32 bytes in base64, white
// space around them ignored. Anything else is fault.Invalid.
func ParseKey(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	key, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return nil, fault.New(fault.Invalid, badKeyHint, "gossip key is not base64")
	}
	if len(key) != keySize {
		return nil, fault.New(fault.Invalid, badKeyHint, "gossip key has %d bytes instead of %d", len(key), keySize)
	}
	return key, nil
}

// LoadKey reads the gossip key. Whoever reads it can order the cluster about,
// so a file that others may read or have written is fault.NotPermitted; a
// missing or damaged one is fault.Invalid.
func LoadKey(path string) ([]byte, error) {
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
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, fmt.Errorf("reading the gossip key: %w", err)
	}
	key, err := ParseKey(text)
	return key, fault.Wrap(err, fault.CodeOf(err), "", "%s", path)
}

// WriteKey puts a gossip key in its place, with mode 0600. The same key there
// is fine; another one is fault.Refused and stays, for the system that it
// belongs to would be locked out.
func WriteKey(path string, key []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return writeError(err, path)
	}
	err := linkKey(path, key)
	if !errors.Is(err, fs.ErrExist) {
		return writeError(err, path)
	}
	old, err := LoadKey(path)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(old, key) != 1 {
		return fault.New(fault.Refused, "this server belongs to another system: remove the file if it shall leave that",
			"%s holds another gossip key", path)
	}
	return nil
}

// linkKey makes the file whole or not at all. A rename would replace a key that
// came to be there meanwhile; a link fails with fs.ErrExist.
func linkKey(path string, key []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".gossip.key") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}
