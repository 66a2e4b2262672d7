package ui

import (
	"bufio"
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
	if p.lines == nil {
		p.lines = bufio.NewReader(p.In)
	}
	suffix := ": "
	if def != "" {
		suffix = " [" + def + "]: "
	}
	if _, err := fmt.Fprint(p.Out, question+suffix); err != nil {
		return "", fmt.Errorf("asking for --%s: %w", flag, err)
	}
	line, err := p.lines.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("reading the answer for --%s: %w", flag, err)
	}
	switch answer := strings.TrimSpace(line); {
	case answer != "":
		return answer, nil
	case def != "":
		return def, nil
	}
	return "", missing
}
