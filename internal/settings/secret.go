package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// SecretFiles returns the full paths of the password files that the settings name.
func (s *Settings) SecretFiles() []string {
	files := []string{s.Arbiter.PasswordFile, s.Alarms.SNMP.CommunityFile, s.Alarms.SNMP.AuthFile, s.Alarms.SNMP.PrivFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// LoadPassword reads a file that holds a password and nothing else; the end of
// its line does not count. A file that others may read or have written is
// fault.NotPermitted; a missing or empty one is fault.Invalid.
func LoadPassword(path string) (string, error) {
	const hint = "write the password alone into it, and chmod 600 it"
	f, err := openSecret(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.New(fault.Invalid, hint, "there is no password file %s", path)
	case errors.Is(err, fs.ErrPermission):
		return "", fault.New(fault.NotPermitted, "run the command as root", "may not read the password file %s", path)
	case err != nil:
		return "", fmt.Errorf("opening the password file: %w", err)
	}
	defer f.Close()
	if err := checkSecret(f, "password file", hint); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("reading the password file: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 || bytes.ContainsAny(text, "\r\n") {
		return "", fault.New(fault.Invalid, hint, "password file %s does not hold one line", path)
	}
	return string(text), nil
}

// openSecret opens a file. Without O_NONBLOCK a FIFO would wait for its writer.
func openSecret(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// checkSecret looks at the open file, which nobody can exchange any more.
func checkSecret(f *os.File, what, badHint string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("looking at the %s %s: %w", what, f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fault.New(fault.Invalid, badHint, "%s %s is not a regular file", what, f.Name())
	}
	if mode := st.Mode & 0o7777; mode&^0o600 != 0 {
		return fault.New(fault.NotPermitted, "close it to others: chmod 600 "+f.Name(),
			"%s %s has mode %04o, others may use it", what, f.Name(), mode)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fault.New(fault.NotPermitted, "take it over: chown root "+f.Name(),
			"%s %s belongs to user %d", what, f.Name(), st.Uid)
	}
	return nil
}
