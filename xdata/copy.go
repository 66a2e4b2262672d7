package xdata

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// copyTree copies everything below from into the empty folder to, and returns
// the hashes of the files as they were read. copied, which may be nil, is told
// of bytes as they are copied.
func copyTree(ctx context.Context, from, to *os.Root, copied counting) ([]fileSum, error) {
	type folder struct {
		name string
		attr attributes
	}
	top, err := from.Stat(".")
	if err != nil {
		return nil, err
	}
	var files []fileSum
	buf := make([]byte, copyBytes)
	folders := []folder{{".", attributesOf(top)}}
	err = walk(from, func(name string, info fs.FileInfo) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := checkKind(name, info); err != nil {
			return err
		}
		if info.IsDir() {
			folders = append(folders, folder{name, attributesOf(info)})
			return to.Mkdir(name, 0o700)
		}
		sum, err := copyFile(ctx, from, to, name, info, copied, buf)
		files = append(files, sum)
		return err
	})
	// Folders get their attributes last, the inner ones first: filling a folder
	// changes its time, and its mode may forbid filling it.
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = folders[i].attr.apply(to, folders[i].name)
	}
	return files, err
}

// copyBytes is how much is copied between two looks at the context.
const copyBytes = 1 << 20

// copyFile copies one file, and makes sure that it did not change meanwhile.
func copyFile(ctx context.Context, from, to *os.Root, name string, info fs.FileInfo, copied counting, buf []byte) (fileSum, error) {
	in, err := openRegular(from, name, info)
	if err != nil {
		return fileSum{}, err
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fileSum{}, err
	}
	sum, err := readThrough(ctx, in, io.MultiWriter(out, copied), buf)
	if err == nil {
		err = unchanged(in, name, info)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fileSum{}, err
	}
	return sumOf(name, info, sum), attributesOf(info).apply(to, name)
}

// readThrough copies a file to w and returns the hash of what was read.
func readThrough(ctx context.Context, in *os.File, w io.Writer, buf []byte) ([]byte, error) {
	digest := sha256.New()
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		n, err := in.Read(buf)
		digest.Write(buf[:n])
		if _, bad := w.Write(buf[:n]); bad != nil {
			return nil, bad
		}
		if errors.Is(err, io.EOF) {
			return digest.Sum(nil), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// openRegular opens the file that info describes for reading. What was put in
// its place since is refused, and a FIFO there does not hold us up.
func openRegular(root *os.Root, name string, info fs.FileInfo) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unchanged(f, name, info); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unchanged checks that an open file is still what info describes.
func unchanged(f *os.File, name string, info fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, info) || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()) {
		return fault.New(fault.Busy, "try again when nothing writes there", "%q changed while it was read", name)
	}
	return nil
}
