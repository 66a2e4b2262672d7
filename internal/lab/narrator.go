//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// narrator prints what happens, each line with the time since the start.
type narrator struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	quiet bool // only the table is printed
}

func newNarrator(out io.Writer, quiet bool) *narrator {
	return &narrator{out: out, start: time.Now(), quiet: quiet}
}

// say prints one line.
func (n *narrator) say(format string, args ...any) {
	n.line(fmt.Sprintf("%6.2fs  ", time.Since(n.start).Seconds()) + fmt.Sprintf(format, args...))
}

// show prints a command's output.
func (n *narrator) show(output []byte) {
	for line := range bytes.Lines(output) {
		n.line("           " + strings.TrimRight(string(line), "\n "))
	}
}

func (n *narrator) line(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.quiet {
		fmt.Fprintln(n.out, text)
	}
}

// measurement is one event, with the results of client and ARP.
type measurement struct {
	event   string
	bound   time.Duration // most that the client's silence may last; 0: no call may be lost
	service Service
	holding Holding
	holders []string // servers that held the alias, in order
	last    string   // server that must hold it at the end
}

// ok reports whether the results are right.
func (m *measurement) ok() bool {
	switch {
	case m.holding.Twice > 0 || len(m.holders) == 0 || m.holders[len(m.holders)-1] != m.last:
		return false
	case m.bound == 0:
		return m.service.Lost == 0
	}
	return m.service.Silence <= m.bound
}

func (m *measurement) cells() []string {
	limit, verdict := "none lost", "NO"
	if m.bound > 0 {
		limit = milliseconds(m.bound)
	}
	if m.ok() {
		verdict = "yes"
	}
	return []string{
		m.event, milliseconds(m.service.Silence), limit,
		fmt.Sprintf("%d of %d", m.service.Lost, m.service.Calls),
		strings.Join(m.holders, ", "), fmt.Sprintf("%d of %d", m.holding.Twice, m.holding.Requests), verdict,
	}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// writeTable prints the measurements.
func writeTable(out io.Writer, rows []*measurement) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT\tSILENCE\tALLOWED\tCALLS LOST\tALIAS HELD BY\tHELD TWICE\tOK")
	for _, m := range rows {
		fmt.Fprintln(w, strings.Join(m.cells(), "\t"))
	}
	return w.Flush()
}
