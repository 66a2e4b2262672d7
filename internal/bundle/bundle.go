package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"path"
	"time"
)

// MaxFile bounds each file of a bundle, in bytes: of a longer one the end counts.
const MaxFile = 16 << 20

// File is a text in a bundle.
type File struct {
	Name string // path in the bundle
	Data []byte
}

// Pack returns a tar archive, compressed by gzip, of the files below a folder. Secrets are taken out
// of every one.
func Pack(folder string, files []File, made time.Time, s *Scrubber) ([]byte, error) {
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	t := tar.NewWriter(packed)
	for _, f := range files {
		data := s.Scrub(last(f.Data))
		h := &tar.Header{Name: path.Join(folder, f.Name), Mode: 0o600, Size: int64(len(data)), ModTime: made, Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Name, err)
		}
		if _, err := t.Write(data); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Name, err)
		}
	}
	if err := errors.Join(t.Close(), packed.Close()); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return out.Bytes(), nil
}

// last returns the end of a text that is too long, from the beginning of a line.
func last(data []byte) []byte {
	if len(data) <= MaxFile {
		return data
	}
	data = data[len(data)-MaxFile:]
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		data = data[i+1:]
	}
	return data
}
