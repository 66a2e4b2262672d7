package remoteshell

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"mxcluster/internal/fault"
)

// Exit statuses with a meaning of their own.
const (
	exitNotFound = 127 // of shells: no such command
	exitSSH      = 255 // of ssh: the connection itself failed
)

// reason explains why the program ended: in words of its own where it is known what
// ssh or the login complained of, else in the program's last ones.
func (c *Conn) reason(err error) error {
	lines := c.stderr.lines()
	var exit *exec.ExitError
	status := 0
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	}
	if r, ok := explain(lines, c.server, status); ok {
		if r.command {
			r.hint += c.shown
		}
		return fault.New(fault.Unreachable, r.hint, "reach server %s: %s", c.server, r.text)
	}
	hint := "run it by hand to see more: " + c.shown
	if after := time.Duration(c.silent.Load()); after != 0 {
		err = fmt.Errorf("no answer after %s (sync.login_limit): waited for the login and the first word of mxcluster there", after)
		hint = "check that the server is up and its base address can be reached, and that this works without a password: " + c.shown
	}
	switch status {
	case exitNotFound:
		hint = "install mxcluster there, or set sync.remote_command in mxcluster.yaml"
	case exitSSH:
		hint = "check that this works without a password: " + c.shown
	}
	if text := strings.Join(inBrief(lines), " | "); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return fault.Wrap(err, fault.Unreachable, hint, "reach server %s by %q", c.server, c.shown)
}

// inBrief leaves out the frames of ssh's warnings.
func inBrief(lines []string) (out []string) {
	for _, l := range lines {
		if !strings.HasPrefix(l, "@@@") {
			out = append(out, l)
		}
	}
	return out
}

// explained is what is known of a complaint.
type explained struct {
	text, hint string
	command    bool // the command goes behind the hint
}

// complaint is what ssh, or what it starts there, says when it fails.
type complaint struct {
	says string // part of the line
	text string // in our words; the line follows them
	hint string
	by   bool // the command goes behind the hint
}

// complaints are looked for in this order: what says more comes first.
func complaints(server string) []complaint {
	const reach = "check that the server is up, its base address and the network"
	setup := "mxcluster sync setup-ssh " + server
	return []complaint{
		{"are too open", "ssh does not use a private key that others may read", "chmod 600 the file", false},
		{"Bad owner or permissions", "ssh does not take its configuration", "let the file belong to root, and nobody else write to it", false},
		{"Bad configuration option", "ssh cannot read its configuration", "mend that line, or set sync.rsh to an ssh with -F and another file", false},
		{"host key is known for", "its host key is not known here", setup + " pins it, without a terminal with --accept-host-key; or log in once by hand: ", true},
		{"Host key verification failed", "its host key is not known here, or is another one", setup + " pins it, without a terminal with --accept-host-key; or log in once by hand: ", true},
		{"Permission denied (", "it refuses the login", "let the key in there: " + setup + "; or check that this works without a password: ", true},
		{"Too many authentication failures", "it refuses the login", "let one key be used alone: " + setup, false},
		{"Could not resolve hostname", "its name is not known here", "use {address} in sync.rsh, or make the name known", false},
		{"Connection refused", "no ssh server answers there", "start sshd there, or check the port and the firewall", false},
		{"No route to host", "it cannot be reached", reach, false},
		{"Network is unreachable", "it cannot be reached", reach, false},
		{"Connection timed out", "it does not answer", reach, false},
		{"Operation timed out", "it does not answer", reach, false},
		{"not responding", "the connection was lost", reach, false},
		{"Unable to negotiate", "ssh here and the ssh server there have no method in common", "see the line; the ciphers and keys of both sides can be set in ssh's configuration", false},
		{"kex_exchange_identification", "its ssh server ended the connection before the login", "see its log: too many logins at once (MaxStartups), or this address is shut out there", false},
		{"Connection reset by", "the connection was cut", reach, false},
		{"remote host has disconnected", "the connection was cut", reach, false},
	}
}

// ofSudo are what sudo says there; it has no exit status of its own.
func ofSudo() []complaint {
	const text, hint = "sudo asks for a password there", "let the user of the login run mxcluster by sudo with NOPASSWD there"
	return []complaint{
		{"sudo: a password is required", text, hint, false},
		{"sudo: a terminal is required", text, hint, false},
		{"sudo: no tty present", text, hint, false},
	}
}

// explain finds the line that says why, and words it. What ssh says counts where ssh
// failed: mxcluster there may print the same of something else.
func explain(lines []string, server string, status int) (explained, bool) {
	known := ofSudo()
	if status == exitSSH {
		if r, ok := changedKey(lines, server); ok {
			return r, true
		}
		known = complaints(server)
	}
	for _, c := range known {
		for _, l := range lines {
			if strings.Contains(l, c.says) {
				return explained{text: c.text + ": " + l, hint: c.hint, command: c.by}, true
			}
		}
	}
	return explained{}, false
}

// changedKey words ssh's warning of a host key that is another one, which is a page long.
func changedKey(lines []string, server string) (explained, bool) {
	var print, file, name string
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "SHA256:"):
			print = strings.TrimSuffix(l, ".")
		case strings.HasPrefix(l, "Add correct host key in "):
			file = strings.TrimSuffix(strings.TrimPrefix(l, "Add correct host key in "), " to get rid of this message.")
		case strings.Contains(l, "ost key for ") && strings.Contains(l, " has changed and you have requested strict checking"):
			_, rest, _ := strings.Cut(l, "ost key for ")
			name, _, _ = strings.Cut(rest, " has changed")
		}
	}
	if name == "" {
		return explained{}, false
	}
	r := explained{
		text: "its host key is not the one that is known here: either the server was installed anew, or another one answers in its place",
		hint: "if it was installed anew: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' there, then ",
	}
	if print != "" {
		r.text += "; it shows " + print
	}
	if file != "" {
		r.hint += fmt.Sprintf("ssh-keygen -R '%s' -f '%s' && ", name, file)
	}
	r.hint += "mxcluster sync setup-ssh " + server
	return r, true
}
