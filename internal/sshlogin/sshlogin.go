// Package sshlogin sets up and describes the ssh login that a sync uses: a key
// pair of its own that may start one command on the other server, whose host key
// is pinned. The private key never leaves this server.
package sshlogin

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"

	"mxcluster/internal/fault"
)

// Login is the folder that holds the key pair, the pinned host keys and ssh's
// configuration for them.
type Login struct {
	Dir  string
	User string // whom to log in as where nothing else says so; "": ssh's own choice
}

// Host is how another server's ssh is reached.
type Host struct {
	Name string // of the server; its host key is pinned under it, for addresses move
	Port int    // 0: ssh's own
	User string // "": ssh's own
}

func (l Login) path(name string) string { return filepath.Join(l.Dir, name) }

// Config is the path of the configuration for ssh's -F. It is there once a
// server was set up.
func (l Login) Config() string { return l.path("config") }

// KnownHosts is the path of the pinned host keys.
func (l Login) KnownHosts() string { return l.path("known_hosts") }

// keyFile is the path of the private key.
func (l Login) keyFile() string { return l.path("id_ed25519") }

// EnsureKey makes the key pair unless it is there, and returns its public half
// as authorized_keys has it, without a comment. A private key that others may
// read is fault.Refused.
func (l Login) EnsureKey() (public string, made bool, err error) {
	pem, err := os.ReadFile(l.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		pem, err = l.makeKey()
	}
	if err != nil {
		return "", false, fmt.Errorf("the key of the sync: %w", err)
	}
	if info, err := os.Stat(l.keyFile()); err == nil && info.Mode().Perm()&0o077 != 0 {
		return "", false, fault.New(fault.Refused, "chmod 600 "+l.keyFile()+", or remove it if others may have read it",
			"others may read the private key %s", l.keyFile())
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return "", false, fault.Wrap(err, fault.Failed, "remove it to have a new one made", "reading the key %s", l.keyFile())
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), made, nil
}

// makeKey makes and keeps a key.
func (l Login) makeKey() ([]byte, error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "mxcluster sync")
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(block)
	return text, renameio.WriteFile(l.keyFile(), text, 0o600, renameio.IgnoreUmask())
}

// Has reports whether a server was set up.
func (l Login) Has(name string) bool {
	_, err := os.Stat(l.hostFile(name))
	return err == nil
}

// hostPrefix begins the names of the files of servers.
const hostPrefix = "host-"

func (l Login) hostFile(name string) string { return l.path(hostPrefix + name) }

// Add makes ssh use the key for a server, and nothing else for it: no password,
// no agent, no other host key, and nothing that a person's own configuration says of
// all hosts. Other servers are reached as before.
func (l Login) Add(h Host) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# written by mxcluster sync setup-ssh\nHost %s\n", h.Name)
	line := func(key, value string) { fmt.Fprintf(&b, "  %s %s\n", key, value) }
	line("HostKeyAlias", h.Name)
	line("UserKnownHostsFile", quote(l.KnownHosts()))
	line("GlobalKnownHostsFile", "/dev/null")
	line("StrictHostKeyChecking", "yes")
	line("UpdateHostKeys", "no")
	line("VerifyHostKeyDNS", "no")
	line("IdentityFile", quote(l.keyFile()))
	line("IdentitiesOnly", "yes")
	line("PreferredAuthentications", "publickey")
	line("BatchMode", "yes")
	for _, o := range plainRun() {
		line(o.key, o.value)
	}
	line("ProxyJump", "none")
	line("ProxyCommand", "none")
	line("CanonicalizeHostname", "no")
	if h.Port != 0 {
		line("Port", strconv.Itoa(h.Port))
	}
	if h.User != "" {
		line("User", h.User)
	}
	if err := renameio.WriteFile(l.hostFile(h.Name), []byte(b.String()), 0o600); err != nil {
		return err
	}
	return l.writeConfig()
}

// writeConfig writes what ssh reads: of a server that was set up its own part and the
// system's configuration, which says what ciphers and keys are allowed; of all others what
// the person who runs it has, too. The first value that ssh finds counts.
func (l Login) writeConfig() error {
	files, err := filepath.Glob(l.hostFile("*"))
	if err != nil {
		return err
	}
	others := ""
	for _, f := range files {
		others += "!" + strings.TrimPrefix(filepath.Base(f), hostPrefix) + ","
	}
	text := fmt.Sprintf("# written by mxcluster sync setup-ssh\nInclude %s\nMatch originalhost %s*\n  Include ~/.ssh/config\nMatch all\n  Include /etc/ssh/ssh_config\n  Ciphers %s\n",
		quote(l.hostFile("*")), others, ciphers)
	if l.User != "" {
		text += "  User " + l.User + "\n"
	}
	return renameio.WriteFile(l.Config(), []byte(text), 0o600)
}

// option is a line of ssh's configuration.
type option struct{ key, value string }

// plainRun are the options of an ssh that starts a program and carries what that reads
// and prints, and nothing else, whatever is set for people: no terminal, command, connection or
// forwarding of theirs.
func plainRun() []option {
	return []option{
		{"RemoteCommand", "none"}, {"RequestTTY", "no"}, {"PermitLocalCommand", "no"},
		{"ControlMaster", "no"}, {"ControlPath", "none"},
		{"ClearAllForwardings", "yes"}, {"ForwardX11", "no"}, {"ForwardAgent", "no"}, {"Tunnel", "no"},
		{"LogLevel", "INFO"}, {"VisualHostKey", "no"},
	}
}

// connectLimit is how long a server may take until it answers the first bytes of ssh: no time
// for people to wait for one that is off. A login may take longer.
const connectLimit = 15 * time.Second

// RunOptions are ssh's for every login of a sync, behind the host: what the setting
// sync.rsh says counts before them, and they before ssh's configuration. A server that is
// gone is noticed within idle.
func RunOptions(idle time.Duration) (words []string) {
	const unanswered = 3 // questions before ssh gives up
	every := max(int(idle.Seconds())/(unanswered+2), 1)
	all := append(plainRun(), option{"ConnectTimeout", strconv.Itoa(int(connectLimit.Seconds()))},
		option{"ServerAliveInterval", strconv.Itoa(every)}, option{"ServerAliveCountMax", strconv.Itoa(unanswered)})
	for _, o := range all {
		words = append(words, "-o", o.key+"="+o.value)
	}
	return words
}

// ciphers are what ssh offers where nobody chose: all that are safe, with those
// first that processors have instructions for: with those a large file took a fifth less
// than with ssh's own first choice (bench/sync/README.md). They are written out, as ssh
// before 8.1 cannot put some before its own list; it knows these since 6.5.
const ciphers = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr"

// quote writes a path as ssh_config does.
func quote(path string) string { return `"` + path + `"` }

// Fingerprint is that of a server's pinned host key; "" when none is.
func (l Login) Fingerprint(name string) string {
	data, err := os.ReadFile(l.KnownHosts())
	for err == nil && len(data) > 0 {
		var hosts []string
		var key ssh.PublicKey
		_, hosts, key, _, data, err = ssh.ParseKnownHosts(data)
		if err == nil && len(hosts) == 1 && hosts[0] == name {
			return ssh.FingerprintSHA256(key)
		}
	}
	return ""
}

// BootstrapOptions are ssh's for the first login, with whatever the person who
// runs it may log in with: the host key that it meets is pinned. Without accept,
// ssh asks whether that is the right one. A server that is down is given up after limit.
func (l Login) BootstrapOptions(h Host, identity string, accept bool, limit time.Duration) []string {
	checking := "ask"
	if accept {
		checking = "accept-new"
	}
	o := []string{"-o", "HostKeyAlias=" + h.Name, "-o", "UserKnownHostsFile=" + quote(l.KnownHosts()), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "StrictHostKeyChecking=" + checking, "-o", "HashKnownHosts=no", "-o", "ConnectTimeout=" + strconv.Itoa(max(int(limit.Seconds()), 1))}
	if h.Port != 0 {
		o = append(o, "-p", strconv.Itoa(h.Port))
	}
	if h.User != "" {
		o = append(o, "-l", h.User)
	}
	if identity != "" {
		o = append(o, "-i", identity)
	}
	return o
}
