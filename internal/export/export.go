// Package export writes and reads what makes a server of a system: its files, in a tar archive that is
// encrypted to a passphrase in the format of age (age-encryption.org/v1), so that
// `age --decrypt F | tar t` reads it, too, where there is no mxcluster.
package export

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"mxcluster/internal/fault"
)

// Bounds of what is read: an archive is a document, settings and keys.
const (
	maxFiles = 64
	maxBytes = 64 << 20 // of all files together
)

// minPassphrase is the length of a passphrase that is accepted for writing, in bytes.
const minPassphrase = 12

// Work is the work factor of scrypt, the binary logarithm of its N, as age's own program takes it:
// about a second for each try.
const Work = 18

const (
	aboutFile = "export.json"
	aboutKind = "Export"
)

// Archive is what is exported of a server.
type Archive struct {
	About About
	Files []File
}

// About says what an archive is of. It is the archive's first file, export.json.
type About struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Export
	Version    string    `json:"version"`
	MadeAt     time.Time `json:"madeAt"`
	Folder     string    `json:"folder"` // the configuration folder that the files are of
	Server     string    `json:"server"`
	System     string    `json:"system"`
	Revision   uint64    `json:"revision"`
}

// File is one file of the archive.
type File struct {
	Name string // path below the configuration folder, with slashes
	Mode uint32 // permission bits
	Data []byte
}

// File returns the content of a file, nil if it is not there.
func (a *Archive) File(name string) []byte {
	if i := slices.IndexFunc(a.Files, func(f File) bool { return f.Name == name }); i >= 0 {
		return a.Files[i].Data
	}
	return nil
}

// Write encrypts an archive to a passphrase of at least 12 bytes. work is [Work] but in tests.
func Write(w io.Writer, a *Archive, passphrase string, work int) error {
	if len(passphrase) < minPassphrase {
		return fault.New(fault.Refused, "whoever gets the file may try passphrases for as long as they like: take some words",
			"the passphrase has %d characters, at least %d are needed", len(passphrase), minPassphrase)
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return fmt.Errorf("taking the passphrase: %w", err)
	}
	to.SetWorkFactor(work)
	sealed, err := age.Encrypt(w, to)
	if err != nil {
		return fmt.Errorf("encrypting: %w", err)
	}
	if err := writeFiles(sealed, a); err != nil {
		return err
	}
	return sealed.Close()
}

func writeFiles(w io.Writer, a *Archive) error {
	a.About.Kind = aboutKind
	about, err := json.MarshalIndent(a.About, "", "  ")
	if err != nil {
		return fmt.Errorf("describing the archive: %w", err)
	}
	t := tar.NewWriter(w)
	for _, f := range append([]File{{Name: aboutFile, Mode: 0o644, Data: append(about, '\n')}}, a.Files...) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.Mode), Size: int64(len(f.Data)), ModTime: a.About.MadeAt.Truncate(time.Second)}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
		if _, err := t.Write(f.Data); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
	}
	return t.Close()
}

// Read decrypts an archive. A wrong passphrase is fault.NotPermitted, content that does not match what was
// written fault.Conflict, and what is no such archive fault.Invalid. Nothing of an archive that is not
// whole is returned.
func Read(r io.Reader, passphrase string) (*Archive, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("taking the passphrase: %w", err)
	}
	plain, err := age.Decrypt(r, id)
	var wrong *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong) && errors.Is(wrong, age.ErrIncorrectIdentity):
		return nil, fault.New(fault.NotPermitted, "it is the one that it was exported with", "the passphrase is wrong")
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "give a file that 'mxcluster config export' wrote", "this is no export, or it is damaged")
	}
	// All of it is read first: only then it is known to be whole.
	text, err := io.ReadAll(io.LimitReader(plain, maxBytes+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Conflict, "take another copy of it", "the export is damaged or cut short")
	}
	if len(text) > maxBytes {
		return nil, fault.New(fault.Invalid, "", "the export has more than %d MB", maxBytes>>20)
	}
	a, err := readFiles(bytes.NewReader(text))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "give a file that 'mxcluster config export' wrote", "the archive is not one of mxcluster")
	}
	return a, nil
}

func readFiles(r io.Reader) (*Archive, error) {
	a := &Archive{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		f, err := readFile(t, h)
		if err != nil {
			return nil, err
		}
		if a.Files = append(a.Files, f); len(a.Files) > maxFiles {
			return nil, fmt.Errorf("it has more than %d files", maxFiles)
		}
	}
	about := a.File(aboutFile)
	if about == nil {
		return nil, fmt.Errorf("it has no file %s", aboutFile)
	}
	if err := json.Unmarshal(about, &a.About); err != nil {
		return nil, fmt.Errorf("reading %s: %w", aboutFile, err)
	}
	if a.About.Kind != aboutKind {
		return nil, fmt.Errorf("%s is of kind %q", aboutFile, a.About.Kind)
	}
	a.Files = slices.DeleteFunc(a.Files, func(f File) bool { return f.Name == aboutFile })
	return a, nil
}

// readFile reads an entry. Only plain files with names below the folder, each once, are taken.
func readFile(r io.Reader, h *tar.Header) (File, error) {
	if h.Typeflag != tar.TypeReg || h.Name == "" || path.Clean("/"+h.Name) != "/"+h.Name || strings.Contains(h.Name, `\`) {
		return File{}, fmt.Errorf("it has an entry %q that is no plain file below the folder", h.Name)
	}
	data, err := io.ReadAll(r)
	return File{Name: h.Name, Mode: uint32(h.Mode) & 0o777, Data: data}, err
}
