package xdata

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"

	"mxcluster/internal/fault"
)

// receiver takes a version from a peer that is not trusted: what it announces
// is held against bounds, what it sends against what it announced, and nothing
// is written outside of the staging folder.
type receiver struct {
	store    *Store
	link     *link
	lim      int
	head     versionHead
	manifest manifest
}

// receive takes a version and makes it visible. It must be newer than the
// newest one here. The caller holds the LIM's lock.
func (s *Store) receive(ctx context.Context, l *link, lim int) (Version, error) {
	r := &receiver{store: s, link: l, lim: lim}
	if err := r.readHead(); err != nil {
		return Version{}, err
	}
	if err := r.readEntries(); err != nil {
		return Version{}, err
	}
	g, err := s.stage(lim)
	if err != nil {
		return Version{}, err
	}
	defer g.discard()
	if err := r.fill(ctx, g.root); err != nil {
		return Version{}, err
	}
	if err := r.readEnd(); err != nil {
		return Version{}, err
	}
	if err := r.dress(g.root); err != nil {
		return Version{}, err
	}
	_, stamp, _ := parseName(r.head.Name)
	if err := g.seal(stamp, manifestSums(&r.manifest)); err != nil {
		return Version{}, err
	}
	now := s.now().UTC()
	return g.commit(stamp, &now)
}

// readHead reads the announcement and decides whether to take the version.
func (r *receiver) readHead() error {
	if err := r.link.expectJSON(frameHead, &r.head); err != nil {
		return err
	}
	h := &r.head
	if lim, _, ok := parseName(h.Name); !ok || lim != r.lim {
		return violation("a version named %q for LIM %d", h.Name, r.lim)
	}
	if h.Top.Mode&^keptMode(true) != 0 {
		return violation("the mode %o of the version", h.Top.Mode)
	}
	if err := checkCounts(h.Entries, h.Bytes); err != nil {
		return err
	}
	if err := r.checkNewer(); err != nil {
		return err
	}
	return r.store.checkSpace(h.Bytes, h.Entries)
}

// checkNewer holds the rule that nothing newer is overwritten against the
// peer's word too, who may have chosen the direction.
func (r *receiver) checkNewer() error {
	now := r.store.now()
	if r.head.Mtime > nanoseconds(now.Add(MaxSkew)) {
		return fault.New(fault.Refused, clockHint, "version %s has a file from the future: %s",
			r.head.Name, stampOf(r.head.Mtime))
	}
	v, ok, err := r.store.Newest(r.lim)
	if err != nil || !ok || nanoseconds(v.NewestMtime) < r.head.Mtime {
		return err
	}
	return fault.New(fault.Refused, "synchronise again", "version %s of %s is not newer than %s of %s",
		r.head.Name, stampOf(r.head.Mtime), v.Name, stampOf(nanoseconds(v.NewestMtime)))
}

// readEntries reads the list of files and folders.
func (r *receiver) readEntries() error {
	r.manifest.Top = r.head.Top
	a := newAdmission(r.head)
	for a.entries < r.head.Entries {
		payload, err := r.link.expect(frameEntries)
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			return violation("an empty file list")
		}
		for len(payload) > 0 {
			var e entry
			if e, payload, err = decodeEntry(payload); err != nil {
				return err
			}
			if err := a.admit(&e); err != nil {
				return err
			}
			r.manifest.Entries = append(r.manifest.Entries, e)
		}
	}
	return a.finish()
}

// fill writes folders and files into the staging folder.
func (r *receiver) fill(ctx context.Context, root *os.Root) error {
	for i := range r.manifest.Entries {
		e := &r.manifest.Entries[i]
		if err := context.Cause(ctx); err != nil {
			return err
		}
		var err error
		if e.Dir {
			err = root.Mkdir(e.Path, 0o700)
		} else {
			err = r.writeFile(root, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes one file, and checks its content.
func (r *receiver) writeFile(root *os.Root, e *entry) error {
	f, err := root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	digest := sha256.New()
	err = r.copyData(io.MultiWriter(f, digest), e.Size)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !bytes.Equal(digest.Sum(nil), e.Sum[:]) {
		return mismatch("the content of %q does not match its hash", e.Path)
	}
	return e.Attr.apply(root, e.Path)
}

// copyData copies exactly size bytes of content.
func (r *receiver) copyData(w io.Writer, size int64) error {
	for size > 0 {
		payload, err := r.link.expect(frameData)
		if err != nil {
			return err
		}
		if len(payload) == 0 || int64(len(payload)) > size {
			return violation("%d bytes of content where at most %d are due", len(payload), size)
		}
		if _, err := w.Write(payload); err != nil {
			return err
		}
		size -= int64(len(payload))
	}
	return nil
}

// readEnd checks the hash of the whole.
func (r *receiver) readEnd() error {
	payload, err := r.link.expect(frameEnd)
	if err != nil {
		return err
	}
	var end digestMessage
	if json.Unmarshal(payload, &end) != nil || !bytes.Equal(end.Digest, r.manifest.digest()) {
		return mismatch("the version does not match its hash")
	}
	return nil
}

// mismatch is the error of content that is not what it should be.
func mismatch(format string, args ...any) error {
	return fault.New(fault.Conflict, "synchronise again; if it stays, check the disks and memory of both servers", format, args...)
}

// dress gives the folders their attributes, the inner ones first, when nothing
// is written into them any more.
func (r *receiver) dress(root *os.Root) error {
	entries := r.manifest.Entries
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Dir {
			if err := entries[i].Attr.apply(root, entries[i].Path); err != nil {
				return err
			}
		}
	}
	return r.manifest.Top.apply(root, ".")
}
