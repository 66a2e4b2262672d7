//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// refusedScenario fails in a way that says how and what to do.
func refusedScenario(context.Context, *Lab) error {
	return fmt.Errorf("trying: %w", fault.New(fault.Conflict, "do it over", "it went wrong"))
}

// silentEndScenario dies before it can tell anything.
func silentEndScenario(context.Context, *Lab) error {
	os.NewFile(outcomeFD, "outcome").Close()
	return nil
}

// endlessScenario has a server and a command in it, and waits for its end.
func endlessScenario(ctx context.Context, l *Lab) error {
	servers, err := testServers(ctx, l, 1)
	if err != nil {
		return err
	}
	cmd, err := start(ctx, l.Dir, servers[0].Name, []string{"sleep", "600"}, nil, Stdio{})
	if err != nil {
		return err
	}
	defer cmd.close()
	fmt.Println("ready")
	<-ctx.Done()
	return ctx.Err()
}

// backgroundFailureScenario ends while something runs beside it, and fails by that.
func backgroundFailureScenario(_ context.Context, l *Lab) error {
	l.Go(func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("came to an end")
	})
	return nil
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		scenario string
		code     fault.Code
		text     string
		hint     string
	}{
		{"refused", fault.Conflict, "trying: it went wrong", "do it over"},
		{"silent-end", fault.Failed, "lab host ended without a word", ""},
		{"background-failure", fault.Failed, "came to an end", ""},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			err := tryScenario(t, c.scenario, self(t))
			if fault.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.text) || fault.HintOf(err) != c.hint {
				t.Errorf("code %d, %v, hint %q; want code %d, %q, hint %q",
					fault.CodeOf(err), err, fault.HintOf(err), c.code, c.text, c.hint)
			}
		})
	}
}

// A lab must not outlive its parent, however that ends, and must not be in the
// way of the next one.
func TestEndOfParent(t *testing.T) {
	for _, c := range []struct {
		signal unix.Signal
		code   int
		gone   bool // the lab folder is removed by the parent itself
	}{
		{unix.SIGINT, int(fault.Interrupted), true},
		{unix.SIGTERM, int(fault.Interrupted), true},
		{unix.SIGKILL, -1, false},
	} {
		t.Run(unix.SignalName(c.signal), func(t *testing.T) {
			dir := filepath.Join(shortTempDir(t), "lab")
			parent, stderr := startParent(t, dir)
			if err := parent.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			// Every process of the lab has the standard error stream: it ends
			// with the last one.
			rest, err := io.ReadAll(stderr)
			if err != nil {
				t.Errorf("waiting for the lab's processes to end: %v", err)
			}
			_ = parent.Wait() // the exit code is looked at
			if got := parent.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d; %s", got, c.code, rest)
			}
			if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) != c.gone {
				t.Errorf("lab folder: %v, want gone: %v", err, c.gone)
			}
			err = Launch(t.Context(), labOptions(self(t), "", dir, "nothing"))
			if err != nil {
				t.Errorf("next lab: %v", err)
			}
		})
	}
}

// startParent starts a lab in a process of its own and waits until its
// scenario runs.
func startParent(t *testing.T, dir string) (*exec.Cmd, *os.File) {
	t.Helper()
	parent := exec.Command(self(t), "lab", "parent", "--lab", dir, "endless")
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stderr.Close() })
	parent.Stderr = write
	err = errors.Join(parent.Start(), write.Close(), stderr.SetReadDeadline(time.Now().Add(20*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		text, _ := io.ReadAll(stderr)
		if strings.Contains(string(text), "making network namespaces") {
			needNamespaces(t, fault.New(fault.NotPermitted, "", "%s", text))
		}
		t.Fatalf("first line %q, %v; %s", line, err, text)
	}
	return parent, stderr
}

// While a lab runs there is no second one in the same folder.
func TestSecondLab(t *testing.T) {
	dir := filepath.Join(shortTempDir(t), "lab")
	parent, stderr := startParent(t, dir)
	err := Launch(t.Context(), labOptions(self(t), "", dir, "nothing"))
	if fault.CodeOf(err) != fault.Busy || fault.HintOf(err) == "" {
		t.Errorf("second lab: %v, want code %d and a hint", err, fault.Busy)
	}
	code, err := Exec(t.Context(), dir, "srv1", []string{"sh", "-c", "exit 9"}, Stdio{})
	if code != 9 || err != nil {
		t.Errorf("command from outside: code %d, %v, want 9", code, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(stderr); err != nil {
		t.Error(err)
	}
	_ = parent.Wait() // it was killed
}

// A lab that runs can be looked into, from any terminal of its user.
func TestLabExec(t *testing.T) {
	dir := filepath.Join(shortTempDir(t), "lab")
	parent, output := startParent(t, dir)
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"a command", []string{"srv1", "--", "hostname"}, 0, "srv1", ""},
		{"its flags are its own", []string{"srv1", "sh", "-c", "echo $0", "--quiet"}, 0, "--quiet", ""},
		{"its exit code", []string{"srv1", "--", "sh", "-c", "exit 9"}, 9, "", ""},
		{"nothing after the dashes", []string{"srv1", "--"}, int(fault.Usage), "", "argument CMD is missing"},
		{"no such server", []string{"srv9", "--", "true"}, int(fault.NotFound), "", "no such server"},
		{"no such program", []string{"srv1", "--", "no-such-program"}, int(fault.Failed), "", "command not found"},
		{"no lab", []string{"srv1", "--", "true"}, int(fault.NotFound), "", "no lab is running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			lab := dir
			if c.name == "no lab" {
				lab += "/other"
			}
			run := exec.Command(program(t), append([]string{"lab", "exec", "--lab", lab}, c.args...)...)
			run.Stdout, run.Stderr = &stdout, &stderr
			_ = run.Run() // the exit code is looked at
			if code := run.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("output %q, error %q; want %q, %q", &stdout, &stderr, c.stdout, c.stderr)
			}
		})
	}
	must(t, parent.Process.Signal(unix.SIGINT))
	_, err := io.ReadAll(output)
	must(t, err)
	_ = parent.Wait() // it was interrupted
}

// Processes of a lab that a person starts by hand say what to do instead.
func TestNotFirstProcess(t *testing.T) {
	for name, err := range map[string]error{
		"host":   Host{Dir: t.TempDir()}.Run(t.Context(), nil),
		"server": RunServer(t.Context(), t.TempDir(), "srv1"),
	} {
		if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, want code %d and a hint", name, err, fault.Usage)
		}
	}
}

func TestExplainRefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		code fault.Code
	}{
		{nil, fault.OK},
		{unix.EPERM, fault.NotPermitted},
		{unix.EACCES, fault.NotPermitted},
		{unix.ENOSPC, fault.NotPermitted}, // too many user namespaces
		{unix.ENOMEM, fault.Failed},
	} {
		err := explainRefusal(c.err)
		if fault.CodeOf(err) != c.code || (fault.HintOf(err) != "") != (c.code == fault.NotPermitted) {
			t.Errorf("%v: %v, hint %q; want code %d", c.err, err, fault.HintOf(err), c.code)
		}
	}
}
