package xdata

import (
	"context"
	"io"
	"os"

	"mxcluster/internal/fault"
)

// snapshot is a version opened for sending: its folder, described and hashed.
type snapshot struct {
	root     *os.Root
	version  Version
	manifest *manifest
}

// open reads and hashes the version. The caller closes root.
func openSnapshot(ctx context.Context, v Version) (*snapshot, error) {
	root, err := os.OpenRoot(v.Path)
	if err != nil {
		return nil, err
	}
	m, err := buildManifest(ctx, root)
	if err == nil && m.newestMtime() != nanoseconds(v.NewestMtime) {
		err = fault.New(fault.Busy, "try again when nothing writes there", "version %s changed while it was read", v.Name)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return &snapshot{root: root, version: v, manifest: m}, nil
}

// send writes the whole version: head, entries, content, end.
func (s *snapshot) send(ctx context.Context, l *link) error {
	m := s.manifest
	head := versionHead{
		Name: s.version.Name, Mtime: m.newestMtime(),
		Entries: len(m.Entries), Bytes: m.bytes(), Top: m.Top,
	}
	if err := l.send(frameHead, head); err != nil {
		return err
	}
	if err := sendEntries(l, m); err != nil {
		return err
	}
	buf := make([]byte, maxPayload)
	for i := range m.Entries {
		if e := &m.Entries[i]; !e.Dir {
			if err := s.sendFile(ctx, l, e, buf); err != nil {
				return err
			}
		}
	}
	return l.send(frameEnd, digestMessage{Digest: m.digest()})
}

// sendEntries writes the entries, as many to a frame as go in.
func sendEntries(l *link, m *manifest) error {
	const room = maxPayload - maxPath - 128 // so that one entry more always fits
	var b []byte
	for i := range m.Entries {
		b = appendEntry(b, &m.Entries[i])
		if len(b) < room && i+1 < len(m.Entries) {
			continue
		}
		if err := l.put(frameEntries, b); err != nil {
			return err
		}
		b = b[:0]
	}
	return nil
}

// sendFile writes the content of one file.
func (s *snapshot) sendFile(ctx context.Context, l *link, e *entry, buf []byte) error {
	info, err := s.root.Lstat(e.Path)
	if err != nil {
		return err
	}
	if info.Size() != e.Size || nanoseconds(info.ModTime()) != e.Attr.Mtime {
		return fault.New(fault.Busy, "try again when nothing writes there", "%q changed while it was sent", e.Path)
	}
	f, err := openRegular(s.root, e.Path, info)
	if err != nil {
		return err
	}
	defer f.Close()
	for left := e.Size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := io.ReadFull(f, buf[:min(left, maxPayload)])
		if err != nil {
			return noEOF(err)
		}
		if err := l.put(frameData, buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}
