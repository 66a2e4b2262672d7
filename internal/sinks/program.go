package sinks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mxcluster/internal/alarms"
)

// Program is a program that is run once for each message: with its environment, and the
// message as JSON on its standard input. It has taken the message when it ends with 0.
type Program struct {
	Path    string
	Args    []string
	Environ []string           // that it gets besides
	Trusted func(string) error // why a program must not be run; nil: it is not asked
}

// maxSaid bounds what of a program's words is kept, in bytes.
const maxSaid = 300

// pipesLimit is how long what a program left behind may keep its output open.
const pipesLimit = time.Second

// Name returns "exec".
func (p *Program) Name() string { return "exec" }

// Reach says that it reaches people.
func (p *Program) Reach() alarms.Reach { return alarms.People }

// Tell runs the program and returns when it has ended. With ctx it and all that it
// started in its process group is killed.
func (p *Program) Tell(ctx context.Context, m Message) error {
	if p.Trusted != nil {
		if err := p.Trusted(p.Path); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	c := exec.CommandContext(ctx, p.Path, p.Args...)
	c.Dir = "/"
	c.Env = append(append([]string{}, p.Environ...), m.environ()...)
	c.Stdin = bytes.NewReader(append(raw, '\n'))
	said := &tail{}
	c.Stdout, c.Stderr = said, said
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = pipesLimit
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // what it left behind may keep its output open
		return nil
	case errors.As(err, &exit) && said.String() != "":
		return fmt.Errorf("%s: %w: %s", p.Path, err, said)
	}
	return fmt.Errorf("%s: %w", p.Path, err)
}

// environ is a message as a program's environment. MXCLUSTER_SERVER stays what the agent has:
// it is the setting that names this server.
func (m Message) environ() []string {
	lim := ""
	if m.LIM != 0 {
		lim = strconv.Itoa(m.LIM)
	}
	return []string{
		"MXCLUSTER_ALARM=" + m.Name, "MXCLUSTER_STATE=" + m.State, "MXCLUSTER_SEVERITY=" + m.Severity, "MXCLUSTER_HANDLE=" + strconv.Itoa(m.Handle),
		"MXCLUSTER_LIM=" + lim, "MXCLUSTER_ALARM_SERVER=" + m.Server, "MXCLUSTER_TEXT=" + OneLine(m.Text), "MXCLUSTER_SINCE=" + m.RaisedAt.Format(time.RFC3339),
		"MXCLUSTER_SYSTEM=" + m.System, "MXCLUSTER_TOLD_BY=" + m.ToldBy,
	}
}

// OneLine takes control characters out of a text, and zero bytes with them.
func OneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// tail keeps the end of what is written.
type tail struct{ buf []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - maxSaid; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// String is the end in one line.
func (t *tail) String() string {
	return strings.TrimSpace(OneLine(strings.ToValidUTF8(string(t.buf), "")))
}
