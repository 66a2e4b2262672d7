package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the program may take to show what is waited for.
const patience = 20 * time.Second

// terminal is a pseudo-terminal with mxcluster at its other end, which has it as
// its controlling terminal: what is typed goes the way of a person's keys.
type terminal struct {
	t      *testing.T
	keys   *os.File
	screen chan []byte // what the program shows; closed when it is gone
	shown  bytes.Buffer
	seen   int // how much of shown was waited for
	cmd    *exec.Cmd
}

// onTerminal starts mxcluster on a terminal of its own.
func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	keys, tty, err := openPTY()
	if err != nil {
		t.Fatalf("opening a pseudo-terminal: %v", err)
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, keys: keys, screen: make(chan []byte), cmd: cmd}
	stop := make(chan struct{})
	go x.read(stop)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already where the test passed
		close(stop)
		_ = keys.Close()
	})
	return x
}

// openPTY returns both ends of a new pseudo-terminal.
func openPTY() (keys, tty *os.File, err error) {
	keys, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := keys.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var number int
	// Keys.Fd would have reads block, and then no Close takes the terminal away.
	if bad := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); bad != nil || err != nil {
		return nil, nil, errors.Join(bad, err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return keys, tty, err
}

// read passes on what the program shows. Its end shows as an error.
func (x *terminal) read(stop <-chan struct{}) {
	defer close(x.screen)
	for {
		part := make([]byte, 4096)
		n, err := x.keys.Read(part)
		if err != nil {
			return
		}
		select {
		case x.screen <- part[:n]:
		case <-stop:
			return
		}
	}
}

// expect waits until the text is shown, after what was waited for before.
func (x *terminal) expect(text string) {
	x.t.Helper()
	late := time.After(patience)
	for {
		if i := strings.Index(x.shown.String()[x.seen:], text); i >= 0 {
			x.seen += i + len(text)
			return
		}
		select {
		case part, more := <-x.screen:
			if !more {
				x.t.Fatalf("it ended before it showed %q:\n%s", text, x.shown.String()[x.seen:])
			}
			x.shown.Write(part)
		case <-late:
			x.t.Fatalf("it did not show %q:\n%s", text, x.shown.String()[x.seen:])
		}
	}
}

// talk answers questions: the first of each pair is waited for, the second typed.
func (x *terminal) talk(pairs ...string) {
	x.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		x.expect(pairs[i])
		x.press(pairs[i+1] + "\n")
	}
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.keys.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// exit waits for the end of the program and returns its exit code.
func (x *terminal) exit() int {
	x.t.Helper()
	late := time.AfterFunc(patience, func() { _ = x.cmd.Process.Kill() })
	defer late.Stop()
	for part := range x.screen {
		x.shown.Write(part)
	}
	_ = x.cmd.Wait()
	return x.cmd.ProcessState.ExitCode()
}

// operator is mxcluster on a server that is in no cluster, so that nothing is
// asked of this machine's kernel.
func operator(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := mxcluster(t, args...)
	cmd.Env = append(cmd.Env, "MXCLUSTER_SERVER=srv9", "NO_COLOR=1")
	for _, line := range []string{
		"init --server srv9 --base 10.0.0.19/24 --interface lo --lim 1",
		"server add srv2 --base 10.0.0.12/24 --interface eth0 --lim 2",
		"server add srv3 --base 10.0.0.13/24 --interface eth0 --lim 3",
		"server add sb1 --base 10.0.0.14/24 --interface eth0",
		"server to-standby sb1",
	} {
		once := mxcluster(t, strings.Fields(line)...)
		once.Env = cmd.Env
		if out, err := once.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	return cmd
}

// configured returns the cluster document of a command.
func configured(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	dir := ""
	for _, v := range cmd.Env {
		if value, ok := strings.CutPrefix(v, "MXCLUSTER_CONFIG_DIR="); ok {
			dir = value // the last one counts
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A person makes a cluster, locks a LIM, changes the cluster and deletes it, with
// the mistakes that people make, and never leaves the menu.
func TestMenuFromCreateToDelete(t *testing.T) {
	cmd := operator(t, "menu")
	x := onTerminal(t, cmd)
	x.talk("q ends: ", "3",
		"Name of the new cluster: ", "c 1",
		`cluster name "c 1" is not valid`, "c1",
		"1  sb1  standby", "",
		"3  srv3, in no cluster", "2",
		"New base address of srv2 (10.0.0.12/24 becomes the LIM's alias): ", "10.0.0.13",
		"10.0.0.13 is the base of srv3", "10.0.0.22",
		"Priority of LIM 2", "high",
		`"high" is not a priority`, "50",
		"Another LIM", "yes",
		"LIM: ", "3",
		"New base address of srv3", "10.0.0.23",
		"Priority of LIM 3", "",
		"Another LIM", "",
		"Fallback, manual or automatic [manual]: ", "auto",
		"answer manual or automatic", "automatic",
		"Silence after which a server counts as failed [10s]: ", "5",
		"give a duration such as 300ms", "5s",
		"Side that gives way when both run a LIM", "",
		"Rehearsals of takeovers, off or nightly [off]: ", "nightly")
	x.expect("cluster c1 would be created")
	x.expect("mxcluster create c1 --standby sb1 --lim 2=10.0.0.22,priority=50 --lim 3=10.0.0.23 --fallback automatic --failover-after 5s --rehearse nightly --yes")
	x.talk("Run it, yes or no [yes]: ", "")
	x.expect("cluster c1 created")

	x.talk("q ends: ", "lock",
		"2  srv2, cluster c1", "2",
		"Side to lock it to", "left",
		`"left" is not a side`, "",
		"Time after which the lock ends", "-1h",
		"give a time to come", "30m",
		"Reason [none]: ", "new memory",
		"Move it there first", "")
	x.expect("mxcluster lock 2 --to regular --for 30m --reason 'new memory' --yes")
	x.talk("Run it", "y")
	x.expect("LIM 2 is locked to regular")
	if doc := configured(t, cmd); !strings.Contains(doc, "reason: new memory") {
		t.Errorf("there is no lock in\n%s", doc)
	}

	x.talk("q ends: ", "4",
		"Cluster to change [c1]: ", "",
		"Fallback, manual or automatic [automatic]: ", "manual",
		"Priority of LIM 2 on the standby, a lower value goes first [50]: ", "70",
		"Priority of LIM 3", "",
		"[5s]: ", "1ms",
		"100ms", "",
		"Side that gives way", "",
		"Rehearsals of takeovers, off or nightly [nightly]: ", "")
	x.expect("mxcluster change c1 --fallback manual --priority 2=70 --yes")
	x.talk("Run it", "no")
	if doc := configured(t, cmd); !strings.Contains(doc, "priority: 50") {
		t.Errorf("without a yes it was changed:\n%s", doc)
	}
	x.talk("q ends: ", "4", "Cluster to change", "1", "Fallback", "", "LIM 2", "70", "LIM 3", "", "[5s]: ", "", "gives way", "", "Rehearsals", "", "Run it", "yes")
	x.expect("cluster c1 changed")
	if doc := configured(t, cmd); !strings.Contains(doc, "priority: 70") {
		t.Errorf("it was not changed:\n%s", doc)
	}

	x.talk("q ends: ", "8", "Cluster to delete [c1]: ", "c1")
	x.expect("mxcluster delete c1 --yes")
	x.talk("Run it, yes or no [no]: ", "yes")
	x.expect("cluster c1 deleted")
	x.talk("q ends: ", "q")
	if code := x.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if doc := configured(t, cmd); strings.Contains(doc, "clusters:") {
		t.Errorf("the cluster is still there:\n%s", doc)
	}
}

// Without a command mxcluster opens the menu on a terminal. Keys end it wherever it
// stands, and it leaves nothing behind.
func TestKeysEndTheMenu(t *testing.T) {
	const ctrlC, ctrlD = "\x03", "\x04"
	for _, tc := range []struct {
		name string
		args []string
		talk []string
		at   string
		keys string
		code int
	}{
		{"Ctrl-D at the menu", nil, nil, "q ends: ", ctrlD, 0},
		{"Ctrl-C at the menu", nil, nil, "q ends: ", ctrlC, 130},
		{"Ctrl-D at a question", []string{"menu"}, []string{"q ends: ", "create"}, "Name of the new cluster: ", ctrlD, 0},
		{"Ctrl-C at a question", []string{"menu"}, []string{"q ends: ", "create"}, "Name of the new cluster: ", ctrlC, 130},
		{"the time runs out", []string{"menu", "--timeout", "1s"}, nil, "q ends: ", "", 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cmd := operator(t, tc.args...)
			before := configured(t, cmd)
			x := onTerminal(t, cmd)
			x.talk(tc.talk...)
			x.expect(tc.at)
			x.press(tc.keys)
			if code := x.exit(); code != tc.code {
				t.Errorf("exit code %d, want %d\n%s", code, tc.code, x.shown.String())
			}
			if after := configured(t, cmd); after != before {
				t.Errorf("the document changed:\n%s", after)
			}
		})
	}
}

// A watch on a terminal ends by its keys, and gives the terminal back as it was.
func TestKeysEndAWatch(t *testing.T) {
	for _, tc := range []struct {
		keys string
		code int
	}{{"\x1b[Bq", 0}, {"\x03", 130}} {
		x := onTerminal(t, operator(t, "status", "--watch=1h"))
		before := x.modes()
		x.expect("every 1h0m0s")
		if during := x.modes(); during == before {
			t.Error("keys are not sent at once")
		}
		x.press(tc.keys)
		if code := x.exit(); code != tc.code {
			t.Errorf("%q: exit code %d, want %d\n%s", tc.keys, code, tc.code, x.shown.String())
		}
		if after := x.modes(); after != before {
			t.Errorf("%q: the terminal is left as %+v, it was %+v", tc.keys, after, before)
		}
	}
}

// modes are how the terminal treats what is typed and shown.
func (x *terminal) modes() unix.Termios {
	x.t.Helper()
	raw, err := x.keys.SyscallConn()
	if err != nil {
		x.t.Fatal(err)
	}
	var modes *unix.Termios
	if bad := raw.Control(func(fd uintptr) { modes, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); bad != nil || err != nil {
		x.t.Fatal(bad, err)
	}
	return *modes
}
