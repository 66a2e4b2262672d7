package clusterconf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// keep stores a document that is replaced, or that lost against another of its
// revision, and returns where. The name is the revision's; a second document
// of one revision gets a part of its content's hash beside it. A copy that is
// there already is enough.
func (s *Store) keep(revision uint64, data []byte) (string, error) {
	if err := makeDir(s.HistoryDir); err != nil {
		return "", err
	}
	name := filepath.Join(s.HistoryDir, fmt.Sprintf("%08d.yaml", revision))
	same, err := holds(name, data)
	if err == nil && !same {
		sum := sha256.Sum256(data)
		name = filepath.Join(s.HistoryDir, fmt.Sprintf("%08d-%x.yaml", revision, sum[:6]))
		same, err = holds(name, data)
	}
	switch {
	case err == nil && same:
		return name, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return name, replaceFile(name, data)
}

// holds tells whether the file has this content.
func holds(name string, data []byte) (bool, error) {
	have, err := readRegular(name)
	return bytes.Equal(have, data), err
}
