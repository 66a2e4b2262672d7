package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A connection that is open and carries nothing any more, as after a power cut, ends on
// both sides within the idle limit, and the data is free.
func TestDeadConnectionLetsGo(t *testing.T) {
	s := newSSHSite(t)
	s.setup("srv1", 0)
	for _, name := range []string{"srv1", "sb1"} {
		file := s.path(name, "etc/mxcluster.yaml")
		write(t, file, read(t, file)+"sync.idle_limit: 5s\n")
	}
	from := t.TempDir()
	content := make([]byte, 4<<20)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // content
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	write(t, filepath.Join(from, "f0"), string(content))
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)

	cmd := s.command("srv1", "sync", "-q", "--bwlimit", "200k")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for answers := 0; answers < 2; {
		select {
		case <-tick.C:
			if partial, _ := filepath.Glob(s.path("sb1/var/xdata/.partial-*/f*")); len(partial) > 0 { // the pattern is right
				answers = s.process("who answers", cmd.Process.Pid)
			}
		case err := <-ended:
			t.Fatalf("it ended before: %v: %s", err, said.String())
		case <-deadline:
			t.Fatalf("no transfer begins: %s", said.String())
		}
	}
	carrier := s.process("ssh", cmd.Process.Pid)
	if carrier < 2 || unix.Kill(carrier, unix.SIGSTOP) != nil {
		t.Fatalf("ssh is not there: process %d", carrier)
	}
	defer unix.Kill(carrier, unix.SIGKILL)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("who asks does not let go")
	}
	if code := cmd.ProcessState.ExitCode(); code != 5 || !strings.Contains(said.String(), "nothing was heard of the other side for 5s") {
		t.Errorf("code %d: %s", code, said.String())
	}
	s.untilFree()
	s.mx("srv1", 0, "sync -q")
}

// A login that takes its time holds no data; one that takes too long says what was
// waited for.
func TestSlowLogin(t *testing.T) {
	s := newSSHSite(t)
	s.setup("srv1", 0)
	from := t.TempDir()
	write(t, filepath.Join(from, "f0"), "data")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
	gate, began := s.path("gate"), s.path("began")
	keys := s.path("home/.ssh/authorized_keys")
	plain := read(t, keys)
	write(t, keys, strings.Replace(plain, `command="`, `command="touch `+began+`; for i in $(seq 1200); do test -e `+gate+` && break; sleep 0.05; done; `, 1))
	ended := make(chan string, 1)
	go func() { ended <- s.mx("srv1", 0, "sync -q") }()
	waitFor(t, began)
	s.mx("srv1", 0, "xdata prune --lim 1") // nobody is at the data
	write(t, gate, "")
	<-ended
	if len(s.versions("sb1")) != 1 {
		t.Error("nothing was copied")
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	file := s.path("srv1/etc/mxcluster.yaml")
	write(t, file, read(t, file)+"sync.login_limit: 1s\n")
	if out := s.mx("srv1", 5, "sync -q"); !strings.Contains(out, "no answer after 1s (sync.login_limit): waited for the login") {
		t.Errorf("%q", out)
	}
	write(t, gate, "")
}

func waitFor(t *testing.T, file string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		select {
		case <-tick.C:
			if _, err := os.Stat(file); err == nil {
				return
			}
		case <-deadline:
			t.Fatalf("no %s", file)
		}
	}
}

// What a login prints is passed over by all that log in, and named where it is too much.
func TestNoiseOverSSH(t *testing.T) {
	s := newSSHSite(t)
	noise := s.path("noise")
	write(t, noise, "Welcome\r\nto sb1, no line's end: ")
	keys := s.path("home/.ssh/authorized_keys")
	loud := func() {
		var lines []string
		for l := range strings.Lines(read(t, keys)) {
			switch {
			case strings.Contains(l, noise):
			case strings.Contains(l, `command="`):
				l = strings.Replace(l, `command="`, `command="cat `+noise+`; `, 1)
			default:
				l = `command="cat ` + noise + `; eval \"$SSH_ORIGINAL_COMMAND\"" ` + l
			}
			lines = append(lines, l)
		}
		write(t, keys, strings.Join(lines, ""))
	}
	loud()
	s.setup("srv1", 0)
	s.setup("srv3", 0, "--orders")
	loud()
	from := t.TempDir()
	write(t, filepath.Join(from, "f0"), "data")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
	s.mx("srv1", 0, "sync -q")
	if out := s.setup("srv1", 0); !strings.Contains(out, "already") {
		t.Errorf("%q", out)
	}
	if out := s.mx("srv3", 0, "sync --all -o json"); !strings.Contains(out, `"result": "in-sync"`) {
		t.Errorf("%q", out)
	}
	write(t, noise, strings.Repeat("Welcome to sb1\n", 10_000))
	for name, line := range map[string]string{"srv1": "sync", "srv3": "sync --all"} {
		if out := s.mx(name, 1, line); !strings.Contains(out, "Welcome to sb1") || !strings.Contains(out, "prints nothing") {
			t.Errorf("%s: %q", line, out)
		}
	}
	if out := s.setup("srv1", 5); !strings.Contains(out, "Welcome to sb1") {
		t.Errorf("%q", out)
	}
}

// What ssh's configuration has for people does not reach a sync, what sync.rsh says does;
// and what is wrong with a login is said in one line.
func TestSSHConfigurationAndComplaints(t *testing.T) {
	s := newSSHSite(t)
	from := t.TempDir()
	write(t, filepath.Join(from, "f0"), "data")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
	config, file := s.path("ssh_config"), s.path("srv1/etc/mxcluster.yaml")
	settings := read(t, file)
	use := func(options string) {
		write(t, file, settings+fmt.Sprintf("sync.rsh: ssh -F %s -o BatchMode=yes %s {address}\n", config, options))
	}
	own := fmt.Sprintf("-p %s -l root -i %s -o UserKnownHostsFile=%s -o StrictHostKeyChecking=accept-new", s.port, s.path("admin"), s.path("known"))
	use(own)
	for _, c := range []string{
		"RemoteCommand tmux", "RequestTTY force", "PermitLocalCommand yes\nLocalCommand echo hello", "ForwardX11 yes",
		"ControlMaster auto\nControlPath " + s.path("cm") + "\nControlPersist 5", "LogLevel DEBUG1", "LogLevel QUIET\nVisualHostKey yes",
		"LocalForward " + s.port + " 127.0.0.1:1\nExitOnForwardFailure yes",
	} {
		write(t, config, "Host *\n"+c+"\n")
		s.mx("srv1", 0, "sync -q")
	}
	write(t, config, "")
	for _, tt := range []struct{ options, says, hint string }{
		{own + " -o RemoteCommand=true", "Cannot execute command-line and remote command", ""}, // it was set for this host
		{"-p " + s.port + " -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes", "its host key is not known here", "sync setup-ssh sb1"},
		{strings.Replace(own, s.path("admin"), s.path("hostkey"), 1) + " -o IdentitiesOnly=yes -o IdentityAgent=none", "it refuses the login", "sync setup-ssh sb1"},
		{"-p 1", "no ssh server answers there", "start sshd"},
		{own + " -o HostName=nowhere.invalid", "its name is not known here", "{address}"},
		{own + " -o NoSuchOption=1", "ssh cannot read its configuration", "mend"},
	} {
		use(tt.options)
		out := s.mx("srv1", 5, "sync --lim 1 -o name")
		_, message, _ := strings.Cut(out, "mxcluster: ")
		if !strings.Contains(message, tt.says) || !strings.Contains(message, tt.hint) || strings.Count(strings.TrimSpace(message), "\n") > 1 {
			t.Errorf("%s: %q", tt.options, message)
		}
	}
	use(own)
	s.stopSSHD()
	s.keygen("hostkey")
	s.startSSHD("/usr/sbin/sshd")
	out := s.mx("srv1", 5, "sync -o name")
	_, out, _ = strings.Cut(out, "mxcluster: ")
	for _, want := range []string{"its host key is not the one that is known here", "it shows SHA256:", "ssh-keygen -R '[127.77.0.13]:" + s.port + "' -f '" + s.path("known") + "'"} {
		if !strings.Contains(out, want) {
			t.Errorf("a changed host key: %q does not say %q", out, want)
		}
	}
	if strings.Contains(out, "@@@") || len(out) > 900 {
		t.Errorf("%q", out)
	}
}

// The remedy for a changed host key works, and a person's configuration is not read for a
// server that was set up.
func TestHostKeyRemedy(t *testing.T) {
	s := newSSHSite(t)
	s.setup("srv1", 0)
	_, out := s.byKey("srv1", "-G", "sb1")
	for _, want := range []string{"permitlocalcommand no", "controlmaster false", "clearallforwardings yes", "requesttty false"} {
		if !strings.Contains(out, want) {
			t.Errorf("ssh -G does not say %q: %s", want, out)
		}
	}
	from := t.TempDir()
	write(t, filepath.Join(from, "f0"), "data")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
	s.stopSSHD()
	s.keygen("hostkey")
	s.startSSHD("/usr/sbin/sshd")
	said := s.mx("srv1", 5, "sync")
	_, remedy, ok := strings.Cut(said, "there, then ")
	remedy, _, also := strings.Cut(remedy, " && ")
	if !ok || !also {
		t.Fatalf("no remedy: %q", said)
	}
	if out, err := exec.Command("sh", "-c", remedy).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", remedy, err, out)
	}
	s.setup("srv1", 0)
	s.mx("srv1", 0, "sync -q")
}

// How fast data get there is measured over the login of syncs, whatever that prints; of a version
// that does not know how, it is unknown.
func TestBandwidthOverSSH(t *testing.T) {
	s := newSSHSite(t)
	s.setup("srv1", 0)
	from := t.TempDir()
	write(t, filepath.Join(from, "f0"), "data")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
	keys := s.path("home/.ssh/authorized_keys")
	plain := read(t, keys)
	said := func() (measured, verdict string) {
		var r struct {
			Findings []struct{ Name, Server, Verdict, Measured string }
		}
		out := s.mx("srv1", 3, "check --bandwidth -o json -q")
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, f := range r.Findings {
			if f.Name == "bandwidth" && f.Server == "srv1" {
				measured, verdict = f.Measured, f.Verdict
			}
		}
		return measured, verdict
	}
	write(t, keys, strings.Replace(plain, `command="`, `command="printf 'Welcome to sb1: '; `, 1))
	if text, v := said(); v != "ok" || !strings.Contains(text, "MB/s to sb1, ") || !strings.Contains(text, " MB/s back: it takes 0s") {
		t.Errorf("%s: %q", v, text)
	}
	write(t, keys, strings.Replace(plain, `command="`, `command="case $SSH_ORIGINAL_COMMAND in *--echo) echo mxcluster: this is not what a sync asks for >&2; exit 77 ;; esac; `, 1))
	if text, v := said(); v != "unknown" || !strings.Contains(text, "this is not what a sync asks for") {
		t.Errorf("of an earlier version, %s: %q", v, text)
	}
}
