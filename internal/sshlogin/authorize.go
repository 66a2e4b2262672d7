package sshlogin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/trusted"
)

// Grant lets a key start one command, and nothing else.
type Grant struct {
	From    string // server whose key it is
	Key     string // its public half, as in authorized_keys, without options
	Command string // what sshd starts, whatever is asked for
}

// comment marks the line of a server, so that a new key replaces its old one.
func (g Grant) comment() string { return "mxcluster-sync:" + g.From }

// line is what goes into authorized_keys.
func (g Grant) line() (string, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(g.Key))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 || key.Type() != ssh.KeyAlgoED25519 {
		return "", fault.New(fault.Refused, "", "what was sent is no ed25519 public key")
	}
	if strings.ContainsAny(g.From, " \t\r\n") || strings.ContainsAny(g.Command, "\r\n") {
		return "", fault.New(fault.Refused, "", "a line break in a name")
	}
	command := strings.ReplaceAll(g.Command, `"`, `\"`)
	return fmt.Sprintf("restrict,command=\"%s\" %s %s", command, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), g.comment()), nil
}

// Authorize adds a grant to an authorized_keys file, in the place of an older
// one of the same server. All other lines stay as they are. A file that others may change
// is fault.NotPermitted: sshd does not go by it either, and a link could lead anywhere.
func Authorize(file string, g Grant) (changed bool, err error) {
	line, err := g.line()
	if err != nil {
		return false, err
	}
	if err := trusted.Path(file); err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return false, err
	}
	unlock, err := lockFolder(filepath.Dir(file))
	if err != nil {
		return false, err
	}
	defer unlock()
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // it is the file that is replaced, not the link to it
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	text := withLine(string(old), line, g.comment())
	if text == string(old) {
		return false, nil
	}
	return true, renameio.WriteFile(file, []byte(text), 0o600, renameio.WithExistingPermissions())
}

// withLine puts a line in the place of those with the same comment.
func withLine(text, line, comment string) string {
	var b strings.Builder
	done := false
	for l := range strings.Lines(text) {
		if !strings.HasSuffix(strings.TrimSpace(l), " "+comment) {
			b.WriteString(strings.TrimSuffix(l, "\n") + "\n")
			continue
		}
		if !done {
			b.WriteString(line + "\n")
		}
		done = true
	}
	if !done {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// lockFolder keeps two of us from changing a file in a folder at once.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}
