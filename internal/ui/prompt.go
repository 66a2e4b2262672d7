package ui

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"mxcluster/internal/fault"
)

// Prompter asks the user for what the command line left out. It asks on a
// terminal only: a script must fail at once, not hang.
type Prompter struct {
	In       io.Reader
	Out      io.Writer // the terminal; never standard output, which carries data
	Terminal bool      // both ends are a terminal and --no-input was not given

	// Interrupt ends a question that nobody has answered yet; nil: nothing does.
	Interrupt <-chan struct{}

	lines *bufio.Reader
}

// Ask returns the answer to question, def when the answer is empty. Where
// nobody can be asked, or the answer stays empty, it is a usage error that
// names the flag.
func (p *Prompter) Ask(flag, question, def string) (string, error) {
	missing := fault.New(fault.Usage, "give --"+flag+"; questions are asked on a terminal only", "--%s is missing", flag)
	if !p.Terminal {
		return "", missing
	}
	answer, err := p.answer(question, def)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return "", fmt.Errorf("asking for --%s: %w", flag, err)
	case answer == "":
		return "", missing
	}
	return answer, nil
}

// AskUntil repeats a question until check has nothing against the answer, and
// says each time what it has. An empty answer stands for def, which is checked as
// well; without one it is no answer. At the end of the input the error is io.EOF.
func (p *Prompter) AskUntil(question, def string, check func(answer string) error) (string, error) {
	for {
		answer, err := p.answer(question, def)
		if err != nil {
			return "", fmt.Errorf("asking for %q: %w", question, err)
		}
		wrong := errNoAnswer
		if answer != "" {
			wrong = check(answer)
		}
		if wrong == nil {
			return answer, nil
		}
		if err := p.say(wrong); err != nil {
			return "", err
		}
	}
}

var errNoAnswer = errors.New("an answer is needed here")

// say shows what is wrong with an answer, and the remedy.
func (p *Prompter) say(wrong error) error {
	text := "  " + OneLine(wrong.Error()) + "\n"
	if hint := fault.HintOf(wrong); hint != "" {
		text += "  " + OneLine(hint) + "\n"
	}
	_, err := io.WriteString(p.Out, text)
	return err
}

// answer asks once. The last line of the input counts without its end, too.
func (p *Prompter) answer(question, def string) (string, error) {
	if p.lines == nil {
		p.lines = bufio.NewReader(p.In)
	}
	suffix := ": "
	if def != "" {
		suffix = " [" + def + "]: "
	}
	if _, err := fmt.Fprint(p.Out, Plain(question+suffix)); err != nil {
		return "", err
	}
	line, err := p.line()
	answer := strings.TrimSpace(line)
	switch {
	case answer != "":
		return answer, nil
	case err != nil && def != "" && errors.Is(err, io.EOF):
		return def, err
	case err != nil:
		return "", err
	}
	return def, nil
}

// line reads a line. A read of a terminal cannot be ended from here: when the
// question is interrupted it stays behind, and whoever interrupts must be about
// to end the process.
func (p *Prompter) line() (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := p.lines.ReadString('\n')
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-p.Interrupt:
		_, _ = io.WriteString(p.Out, "\n") // the terminal's own ^C ends no line
		return "", fault.New(fault.Interrupted, "", "not answered")
	}
}
