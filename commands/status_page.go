package commands

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/levels"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// pageWidth is the number of columns that a page for people has at most.
const pageWidth = 80

// showStatus writes the page for people, or the data for programs. A page begins with what
// the next failure would do, why, and what to type.
func (a *app) showStatus(st *status.ClusterStatus) error {
	v := statusView(st, a.out.Format)
	if a.out.Format != ui.Table && a.out.Format != ui.Wide {
		return a.out.Show(v)
	}
	if len(v.Rows) == 0 {
		a.out.Note("there is no cluster yet; 'mxcluster create' makes one")
		return nil
	}
	if a.out.NoHeaders {
		return a.out.Show(v)
	}
	p := page{out: a.out, now: st.GeneratedAt}
	if a.out.Format == ui.Table {
		p.width = pageWidth
	}
	p.out.Data = &p.text
	p.head(st)
	p.table(v)
	p.lims(st)
	p.servers(st)
	p.alarms(st)
	if p.failed != nil {
		return p.failed
	}
	if _, err := a.out.Data.Write(p.text.Bytes()); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// page is a status in the making.
type page struct {
	out    ui.Output // writes into text
	text   bytes.Buffer
	now    time.Time
	width  int // 0: lines are as long as they are, and times are in full
	failed error
}

// troublesTold is how many things are told at the head: more do not fit on a screen.
const troublesTold = 4

// head answers whether the loss of any one server would be covered, and tells what is not as
// it should be, the gravest first, each with what to type below it.
func (p *page) head(st *status.ClusterStatus) {
	all := st.Troubles()
	slices.SortStableFunc(all, func(a, b status.Trouble) int { return compareBool(a.Beside, b.Beside) })
	if len(all) == 0 || all[0].Beside {
		switch {
		case len(st.Clusters) == 0:
			p.say("", "REDUNDANT: no LIM is in a cluster")
		case len(st.Unclustered) > 0:
			p.say("", "REDUNDANT: yes in clusters, the loss of any one server there is covered")
		default:
			p.say("", "REDUNDANT: yes, the loss of any one server is covered")
		}
	}
	shown := all[:min(len(all), troublesTold)]
	for i := range shown {
		t := &shown[i]
		p.say("  ", troubleHead(t, i == 0)+t.String())
		if t.Remedy != nil && (i+1 == len(shown) || shown[i+1].Remedy == nil || *shown[i+1].Remedy != *t.Remedy) {
			p.remedy(t.Remedy)
		}
	}
	if rest := len(all) - len(shown); rest > 0 {
		p.say("  ", fmt.Sprintf("and %d more; 'mxcluster status --check' names all", rest))
	}
}

// troubleHead is the word before a trouble. That of the first one answers the question with
// which a page begins.
func troubleHead(t *status.Trouble, first bool) string {
	switch {
	case t.Beside:
		return strings.ToUpper(t.Severity) + ": "
	case t.Severity != "unknown":
		return "NOT REDUNDANT: "
	case first:
		return "REDUNDANT: unknown: "
	}
	return "UNKNOWN: "
}

// remedy says what to type, and where.
func (p *page) remedy(r *status.Remedy) {
	where := r.What
	if r.On != "" {
		where = strings.TrimSuffix("on "+r.On+", "+r.What, ", ")
	}
	if where != "" {
		where += ": "
	}
	line := "  " + where + r.Command
	if p.width > 0 && len(line) > p.width {
		p.say("  ", "  "+strings.TrimSuffix(where, " "))
		line = "    " + r.Command
	}
	p.line(line)
}

// table puts a table onto the page.
func (p *page) table(v ui.View) {
	if len(v.Rows) == 0 {
		return
	}
	p.gap()
	p.failed = cmp.Or(p.failed, p.out.Show(v))
}

// lims says of each LIM what the table has no room for: how it came to where it is, and what
// becomes of it.
func (p *page) lims(st *status.ClusterStatus) {
	var lines []string
	for _, c := range st.Clusters {
		if c.Frozen != nil {
			lines = append(lines, fmt.Sprintf("Cluster %s is %s.", c.Name, c.Frozen.Words("frozen")))
		}
		for i := range c.LIMs {
			if words := whyHereWords(&c.LIMs[i], st.GeneratedAt); words != "" {
				lines = append(lines, words)
			}
		}
	}
	for i := range st.Unclustered {
		lines = append(lines, fmt.Sprintf("LIM %d: %s: no standby takes it over.", st.Unclustered[i].LIM, st.Unclustered[i].RedundantWhy))
	}
	p.paragraph(lines)
}

// whyHereWords says how a LIM came to where it is, what keeps it there, and what becomes of it.
// Of one that always was at home, and is well, there is nothing to say.
func whyHereWords(l *status.StatusLIM, now time.Time) string {
	var words []string
	if cause := causeWords(l, now); cause != "" {
		words = append(words, cause)
	}
	if told := l.Side == "standby" || l.Side == "none" || strings.HasSuffix(l.RedundantWhy, l.Reason) || l.Reason == status.AtHome; !told {
		words = append(words, l.Reason)
	}
	if l.Side == "standby" && l.Next != "" {
		words = append(words, l.Next)
	}
	if l.Preload != nil {
		words = append(words, map[string]string{"loading": "the other side loads it", "preloaded": "the other side has it loaded"}[*l.Preload])
	}
	if l.Lock != nil && !slices.ContainsFunc(words, func(said string) bool { return strings.Contains(said, l.Lock.String()) }) {
		words = append(words, l.Lock.String())
	}
	if s := l.LastSplit; s != nil {
		words = append(words, fmt.Sprintf("split brain for %s until %s ago: %s had its alias, from %s to %s", ui.Age(max(s.Ended.Sub(s.Began), time.Second)),
			ui.Age(now.Sub(s.Ended)), strings.Join(s.Servers, " and "), s.Began.Format("15:04:05"), s.Ended.Format("15:04:05Z")))
	}
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("LIM %d: %s.", l.LIM, strings.Join(words, "; "))
}

// causeWords says what brought a LIM to where it is, when, who wanted it and why; "" where
// that is not known, or it was only started at home.
func causeWords(l *status.StatusLIM, now time.Time) string {
	c := l.Cause
	if c == nil || l.ActiveOn == nil || c.What == status.CauseStart {
		return ""
	}
	verb := map[string]string{status.CauseFailed: "taken over by", status.CauseFallback: "fell back to", status.CausePreempted: "sent back to"}[c.What]
	words := cmp.Or(verb, "moved to") + " " + *l.ActiveOn
	if c.At != nil {
		words += " " + ui.Age(now.Sub(*c.At)) + " ago"
	}
	switch {
	case c.What == status.CauseDrained:
		words += ", drained"
	case c.What == status.CauseFallback && c.By == "":
		words += ", by itself"
	}
	switch {
	case c.By != "" && c.Reason != "":
		words += fmt.Sprintf(" by %s (%s)", c.By, c.Reason)
	case c.By != "":
		words += " by " + c.By
	case c.Reason != "":
		words += ": " + c.Reason
	}
	return words
}

// servers lists the servers of the clusters, and what is wrong with them.
func (p *page) servers(st *status.ClusterStatus) {
	v := ui.View{Columns: []ui.Column{{Head: "SERVER"}, {Head: "ROLE"}, {Head: "READY"}, {Head: "AGENT"}, {Head: "VERSION"}, {Head: "REVISION", Right: true},
		{Head: "CLOCK", Right: true}, {Head: "HEARD", Right: true}, {Head: "ADDRESS", Wide: true}, {Head: "LEVELS", Wide: true}}}
	short := func(text string, _ int) string { return text }
	if p.width > 0 {
		short = clipped
	}
	var notes []string
	for _, c := range st.Clusters {
		for i := range c.Servers {
			s := &c.Servers[i]
			v.Rows = append(v.Rows, []string{short(s.Name, 14), s.Role, yesOrNo(s.Ready), agentWords(s), short(orEmpty(s.Version), 10), numberWords(s.Revision), clockWords(s.ClockOffsetMs),
				heardWords(s), s.Address, levelsWords(s.Levels)})
			if words := serverWords(s); words != "" {
				notes = append(notes, words)
			}
		}
	}
	p.table(v)
	p.paragraph(notes)
}

// serverWords says what keeps a server from doing its part.
func serverWords(s *status.StatusServer) string {
	var words []string
	if s.Drained != nil {
		words = append(words, s.Drained.Words("drained"))
	}
	if s.ReadyWhy != "" {
		words = append(words, s.ReadyWhy)
	}
	if len(words) == 0 {
		return ""
	}
	return s.Name + ": " + strings.Join(words, "; ") + "."
}

// levelsWords names the levels that a server's version understands; "": they are not known.
func levelsWords(l *levels.Levels) string {
	if l == nil {
		return ""
	}
	return l.String()
}

func agentWords(s *status.StatusServer) string {
	switch {
	case s.Agent == nil:
		return ""
	case *s.Agent:
		return "runs"
	case s.ReadyWhy == "its agent is silent":
		return "silent"
	case s.Reachable != nil && !*s.Reachable:
		return "down"
	}
	return "stopped"
}

func yesOrNo(b *bool) string {
	switch {
	case b == nil:
		return ""
	case *b:
		return "yes"
	}
	return "no"
}

func numberWords(n *uint64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(*n, 10)
}

// clockWords says how far a clock is ahead of the observer's.
func clockWords(ms *int64) string {
	if ms == nil {
		return ""
	}
	d := time.Duration(*ms) * time.Millisecond
	switch abs := d.Abs(); {
	case abs < 100*time.Millisecond:
		return "0s"
	case abs < 10*time.Second:
		return fmt.Sprintf("%+.1fs", d.Seconds())
	case d < 0:
		return "-" + ui.Age(abs)
	}
	return "+" + ui.Age(d)
}

// heardWords says how long ago something was heard of a server.
func heardWords(s *status.StatusServer) string {
	switch {
	case s.SilentMs == nil:
		return ""
	case time.Duration(*s.SilentMs)*time.Millisecond < 5*time.Second && s.Reachable != nil && *s.Reachable:
		return "now"
	}
	return ui.Age(time.Duration(*s.SilentMs) * time.Millisecond)
}

// alarms lists the alarms that count, each on a line, the gravest first.
func (p *page) alarms(st *status.ClusterStatus) {
	raised := st.CountedAlarms()
	if len(raised) == 0 {
		return
	}
	p.gap()
	for _, x := range raised {
		p.line(fmt.Sprintf("%-8s  %s ago  %s  %s [%d]", x.Severity, ui.Age(st.GeneratedAt.Sub(x.RaisedAt)), x.Name, x.Text, x.Handle))
	}
}

// paragraph writes sentences, each on lines of its own.
func (p *page) paragraph(lines []string) {
	for _, l := range lines {
		p.say("  ", l)
	}
}

// gap writes an empty line between parts.
func (p *page) gap() {
	if p.text.Len() > 0 {
		p.text.WriteString("\n")
	}
}

// plain returns a text as it is shown.
func (p *page) plain(text string) string {
	if p.width > 0 {
		text = ui.Left(text, p.now)
	}
	return ui.Plain(text)
}

// line writes a line, cut where it is too long.
func (p *page) line(text string) {
	text = p.plain(text)
	if p.width > 0 {
		text = clipped(text, p.width)
	}
	p.text.WriteString(strings.TrimRight(text, " ") + "\n")
}

// say writes a sentence, on as many lines as it takes; those after the first begin with an
// indent.
func (p *page) say(indent, text string) {
	for _, l := range wrapped(p.plain(text), p.width, indent) {
		p.text.WriteString(l + "\n")
	}
}

// wrapped breaks text at blanks into lines of a width; 0: it does not. What has no blank is
// broken anywhere.
func wrapped(text string, width int, indent string) []string {
	rest := []rune(text)
	var out []string
	for width > 0 && len(rest) > width {
		at := width
		for at > len(indent)+1 && rest[at] != ' ' {
			at--
		}
		if at <= len(indent)+1 {
			at = width
		}
		out = append(out, strings.TrimRight(string(rest[:at]), " "))
		rest = append([]rune(indent), slices.Clone(rest[at:])...)
		for len(rest) > len(indent) && rest[len(indent)] == ' ' {
			rest = slices.Delete(rest, len(indent), len(indent)+1)
		}
	}
	return append(out, string(rest))
}

// clipped shortens text to a number of columns; what is left out shows as an ellipsis.
func clipped(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	return string(r[:width-1]) + "…"
}
