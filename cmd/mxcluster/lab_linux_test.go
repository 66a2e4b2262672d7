package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/lab"
)

// playground is a lab of a test's own, and the user who plays there.
type playground struct {
	program, temp string
	user          *syscall.Credential // nil: the one of the tests
}

// newPlayground returns one in which nothing is up, and takes down what the test leaves.
func newPlayground(t *testing.T) *playground {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	temp, err := os.MkdirTemp("", "mx") // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	p := &playground{program: program, temp: temp}
	t.Cleanup(func() {
		if code, out := p.run(t, "lab down"); code != 0 {
			t.Errorf("lab down at the end: exit code %d\n%s", code, out)
		}
		if left, _ := filepath.Glob(temp + "/*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		_ = os.RemoveAll(temp)
	})
	return p
}

// command prepares a command line.
func (p *playground) command(line string) *exec.Cmd {
	cmd := exec.Command(p.program, strings.Fields(line)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+p.temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

func (p *playground) run(t *testing.T, line string) (code int, out string) {
	t.Helper()
	return finish(t, p.command(line))
}

// must runs a command line that has to succeed, and returns what it says.
func (p *playground) must(t *testing.T, line string) string {
	t.Helper()
	code, out := p.run(t, line)
	if code != 0 {
		t.Fatalf("mxcluster %s: exit code %d\n%s", line, code, out)
	}
	return out
}

// state is that of the lab; nil: none is up.
func (p *playground) state(t *testing.T) *lab.State {
	t.Helper()
	out, err := p.command("lab status -o json").Output()
	if err != nil {
		return nil
	}
	var answer struct {
		Kind string
		lab.State
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Kind != "LabStatus" {
		t.Fatalf("lab status: %v\n%s", err, out)
	}
	return &answer.State
}

// answers waits until LIM 1 runs on a server, which its phone hears.
func (p *playground) answers(t *testing.T, server string) *lab.LIMState {
	t.Helper()
	var l lab.LIMState
	eventually(t, "LIM 1 to run on "+server, func() bool {
		st := p.state(t)
		if st == nil || len(st.LIMs) == 0 {
			return false
		}
		l = st.LIMs[0]
		return l.ActiveOn != nil && *l.ActiveOn == server && l.AnsweredBy != nil && *l.AnsweredBy == server
	})
	return &l
}

// processes are the command lines that name the playground, by the processes' numbers.
func (p *playground) processes() map[int]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	found := make(map[int]string)
	for _, file := range files {
		words, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && bytes.Contains(words, []byte(p.temp)) {
			found[pid] = string(bytes.ReplaceAll(words, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// tutorial returns the commands of the lab's tutorial, in order.
func tutorial(t *testing.T) []string {
	t.Helper()
	var lines []string
	inBlock := false
	for line := range strings.Lines(read(t, "../../docs/tutorial/lab.md")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
		} else if inBlock {
			lines = append(lines, strings.TrimPrefix(line, "mxcluster "))
		}
	}
	if len(lines) != 10 {
		t.Fatalf("the tutorial has %d commands, not ten: %q", len(lines), lines)
	}
	return lines
}

// The lab's tutorial goes as it says: a lab that was started stays up until it is taken down, the
// standby takes over a LIM whose server loses its power and gives it back when that has healed, and
// nothing is left at the end.
func TestLabTutorial(t *testing.T) {
	t.Parallel()
	p := newPlayground(t)
	checks := map[string]func(t *testing.T, said string){
		"lab up": p.isUp,
		"lab fail srv1 --how power": func(t *testing.T, _ string) {
			if again := p.must(t, "lab fail srv1 --how power"); !strings.Contains(again, "already") {
				t.Errorf("a second power cut says: %s", again)
			}
			l := p.answers(t, "sb1")
			if l.Silence == nil || l.Silence.From != "srv1" || l.Silence.To != "sb1" || l.Silence.Ms < 1000 {
				t.Errorf("the phone saw %+v, want a silence of a second and more, from srv1 to sb1", l.Silence)
			}
			if code, out := p.run(t, "lab exec srv1 -- true"); code != 5 || !strings.Contains(out, "no power") {
				t.Errorf("a command on a server without power: exit code %d\n%s", code, out)
			}
		},
		"lab heal srv1": p.isReadyToFallBack,
		"lab exec sb1 -- mxcluster fallback 1 --wait": func(t *testing.T, _ string) { p.answers(t, "srv1") },
		"lab down": func(t *testing.T, _ string) {
			if left := p.processes(); len(left) > 0 {
				t.Errorf("processes left: %v", left)
			}
			if code, out := p.run(t, "lab status"); code != 4 || !strings.Contains(out, "mxcluster lab up") {
				t.Errorf("lab status afterwards: exit code %d\n%s", code, out)
			}
		},
	}
	for i, line := range tutorial(t) {
		said := p.must(t, line)
		if i == 4 && !strings.Contains(said, "srv1 was down") {
			t.Errorf("status after the power cut:\n%s", said)
		}
		if check := checks[line]; check != nil {
			check(t, said)
			delete(checks, line)
		}
	}
	for line := range checks {
		t.Errorf("the tutorial lacks: mxcluster %s", line)
	}
}

// isReadyToFallBack waits until srv1, whose agent has just started, can have its LIM back.
func (p *playground) isReadyToFallBack(t *testing.T, _ string) {
	t.Helper()
	eventually(t, "LIM 1 to be ready to fall back", func() bool {
		out, _ := p.command("lab exec sb1 -- mxcluster status -o json").Output()
		var answer struct {
			Clusters []struct {
				LIMs []struct{ Fallback struct{ Ready bool } }
			}
		}
		return json.Unmarshal(out, &answer) == nil && len(answer.Clusters) == 1 && answer.Clusters[0].LIMs[0].Fallback.Ready
	})
}

// isUp looks at a lab that has come up.
func (p *playground) isUp(t *testing.T, said string) {
	t.Helper()
	if !strings.Contains(said, "srv1# mxcluster create c1") || !strings.Contains(said, "mxcluster lab fail srv1 --how power") {
		t.Errorf("lab up says:\n%s", said)
	}
	p.answers(t, "srv1")
	if again := p.must(t, "lab up"); !strings.Contains(again, "is up") || !strings.Contains(again, "already") {
		t.Errorf("lab up again says:\n%s", again)
	}
	if code, out := p.run(t, "lab up --lims 3"); code != 3 || !strings.Contains(out, "lab down") {
		t.Errorf("another lab: exit code %d\n%s", code, out)
	}
	if code, out := p.run(t, "lab demo"); code != 6 || !strings.Contains(out, "lab down") {
		t.Errorf("a demonstration beside it: exit code %d\n%s", code, out)
	}
	p.typesIntoShell(t)
}

// labFaultsEnv, if set, has the tests make every fault of a lab.
const labFaultsEnv = "MXCLUSTER_TEST_LAB_FAULTS"

// Each fault is one that the cluster does something about, and that ends by healing.
func TestEveryLabFault(t *testing.T) {
	if os.Getenv(labFaultsEnv) == "" {
		return // it takes a minute
	}
	t.Parallel()
	p := newPlayground(t)
	p.must(t, "lab up --preloaded")
	for _, how := range lab.Faults() {
		p.answers(t, "srv1")
		p.must(t, "lab fail srv1 --how "+string(how))
		p.answers(t, "sb1")
		p.must(t, "lab heal srv1")
		eventually(t, "LIM 1 to fall back after "+string(how), func() bool {
			code, _ := p.run(t, "lab exec sb1 -- mxcluster fallback 1 --now --wait")
			return code == 0
		})
	}
}

// Any user has a lab, where the kernel allows user namespaces. A keeper that is killed takes the
// lab along, and the folder that stays is removed.
func TestLabOfAnOrdinaryUserEndsWithItsKeeper(t *testing.T) {
	t.Parallel()
	p := newPlayground(t)
	if os.Geteuid() == 0 {
		const nobody = 65534
		p.user = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(p.temp, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	p.must(t, "lab up --lims 1")
	p.answers(t, "srv1")
	var keeper int
	for pid, line := range p.processes() {
		if strings.Contains(line, " lab keep ") {
			keeper = pid
		}
	}
	if keeper == 0 {
		t.Fatalf("no keeper among %v", p.processes())
	}
	if err := unix.Kill(keeper, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lab to end with its keeper", func() bool { return len(p.processes()) == 0 })
	if code, out := p.run(t, "lab exec sb1 -- true"); code != 4 {
		t.Errorf("a command in a lab that is gone: exit code %d\n%s", code, out)
	}
	if out := p.must(t, "lab down"); !strings.Contains(out, "had left there is removed") {
		t.Errorf("lab down says: %s", out)
	}
}

// typesIntoShell is a person at a shell on srv1: it has a terminal of its own, its prompt names the
// server, and Ctrl-C is for what runs there.
func (p *playground) typesIntoShell(t *testing.T) {
	t.Helper()
	script := p.command("lab exec srv1")
	script.Stdin = strings.NewReader("hostname; exit 7\n")
	if code, out := finish(t, script); code != 7 || out != "srv1\n" {
		t.Errorf("a script: exit code %d, %q; want 7, srv1", code, out)
	}
	person, terminal := openTerminal(t)
	shell := p.command("lab exec srv1")
	shell.Stdin, shell.Stdout, shell.Stderr = terminal, terminal, terminal
	if err := errors.Join(shell.Start(), terminal.Close(), person.SetDeadline(time.Now().Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buf := make([]byte, 4096)
	for _, step := range []struct{ wait, enter string }{
		{"srv1# ", "sh -c 'echo $((6*7)); exec sleep 100'\r"}, {"42", "\x03"}, {"srv1# ", "exit 9\r"},
	} {
		for !strings.Contains(said.String(), step.wait) {
			n, err := person.Read(buf)
			said.Write(buf[:n])
			if err != nil {
				t.Fatalf("waiting for %q: %v\n%s", step.wait, err, said.String())
			}
		}
		said.Reset()
		if _, err := io.WriteString(person, step.enter); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(&said, person) // until the terminal ends
	_ = shell.Wait()              // its exit code is looked at
	if code := shell.ProcessState.ExitCode(); code != 9 {
		t.Errorf("the shell: exit code %d, want 9\n%s", code, said.String())
	}
}

// openTerminal returns both ends of a terminal: the one where a person types, and the one for a
// program.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var asked error
	err = raw.Control(func(fd uintptr) {
		number, asked = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		asked = errors.Join(asked, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
	})
	if err = errors.Join(err, asked); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}
