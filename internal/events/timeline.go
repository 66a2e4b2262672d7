package events

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// Span is a time in which a server served a LIM.
type Span struct {
	LIM      int
	Server   string
	From, To time.Time
}

// running is the state in which a LIM is served.
const running = "running"

// Spans finds out who served which LIM when, from events in the order of Merge.
// Before the first event of a LIM on a server, what that says it left counts
// from `from`. A server that is gone serves nothing, and one whose agent
// starts anew says so again. What nobody ended lasts until `to`.
func Spans(list []Event, from, to time.Time) []Span {
	type place struct {
		lim    int
		server string
	}
	open, seen := map[place]time.Time{}, map[place]bool{}
	doubt := map[place]time.Time{} // a new agent started: does the LIM go on?
	var out []Span
	end := func(p place, at time.Time) {
		if since, ok := open[p]; ok {
			out = append(out, Span{p.lim, p.server, since, at})
			delete(open, p)
		}
	}
	for i := range list {
		e := &list[i]
		switch p := (place{e.LIM, e.Server}); {
		case e.Kind == State:
			if at, ok := doubt[p]; ok && (e.Is != running || e.Was != running) {
				end(p, at)
			}
			delete(doubt, p)
			if !seen[p] && e.Was == running && e.Time.After(from) {
				open[p] = from
			}
			seen[p] = true
			if _, served := open[p]; !served && e.Is == running {
				open[p] = e.Time
			}
			if e.Is != running {
				end(p, e.Time)
			}
		case e.Kind == Server && e.Is == "gone":
			for p := range open {
				if p.server == e.Subject {
					end(p, e.Time)
				}
			}
		case e.Kind == Agent && e.Is == "started":
			for p := range open {
				if p.server == e.Server {
					doubt[p] = e.Time
				}
			}
		}
	}
	for p, at := range doubt {
		end(p, at)
	}
	for p := range open {
		end(p, to)
	}
	slices.SortFunc(out, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.LIM, b.LIM), a.From.Compare(b.From), cmp.Compare(a.Server, b.Server))
	})
	return out
}

// Sizes of the drawing, in pixels.
const (
	leftMargin  = 70
	rightMargin = 20
	plotWidth   = 1000
	rowHeight   = 34
	barHeight   = 22
	topMargin   = 46
)

// colors tell servers apart in light and in dark; more servers take them again.
func colors() []string {
	return []string{"#3b82f6", "#f59e0b", "#10b981", "#a855f7", "#ef4444", "#06b6d4", "#84cc16", "#ec4899", "#64748b", "#eab308", "#14b8a6"}
}

// Timeline draws as SVG who served which LIM when, a row for each LIM.
func Timeline(spans []Span, lims []int, from, to time.Time) []byte {
	if !to.After(from) {
		to = from.Add(time.Second)
	}
	var servers []string
	for _, s := range spans {
		if !slices.Contains(servers, s.Server) {
			servers = append(servers, s.Server)
		}
	}
	slices.Sort(servers)
	legend := topMargin + len(lims)*rowHeight + 34
	d := drawing{from: from, to: to}
	d.open(legend + 24*((len(servers)+5)/6) + 10)
	d.axis(topMargin + len(lims)*rowHeight)
	for row, lim := range lims {
		y := topMargin + row*rowHeight
		d.text(10, y+barHeight-6, "", fmt.Sprintf("LIM %d", lim))
		d.printf(`<rect class="none" x="%d" y="%d" width="%d" height="%d"/>`, leftMargin, y, plotWidth, barHeight)
		for _, s := range spans {
			if s.LIM == lim {
				d.bar(s, y, colors()[slices.Index(servers, s.Server)%len(colors())])
			}
		}
	}
	for i, s := range servers {
		x, y := leftMargin+(i%6)*170, legend+24*(i/6)
		d.printf(`<rect x="%d" y="%d" width="14" height="14" rx="2" fill="%s"/>`, x, y, colors()[i%len(colors())])
		d.text(x+20, y+12, "", s)
	}
	d.printf("</svg>")
	return d.buf.Bytes()
}

// drawing is an SVG in the making.
type drawing struct {
	buf      bytes.Buffer
	from, to time.Time
}

func (d *drawing) printf(format string, args ...any) {
	fmt.Fprintf(&d.buf, format+"\n", args...)
}

func (d *drawing) text(x, y int, class, words string) {
	d.printf(`<text x="%d" y="%d"%s>%s</text>`, x, y, class, html.EscapeString(words))
}

func (d *drawing) open(height int) {
	width := leftMargin + plotWidth + rightMargin
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`, width, height, width, height)
	d.printf(`<title>Which server served which LIM, %s to %s</title>`, d.from.UTC().Format(time.RFC3339), d.to.UTC().Format(time.RFC3339))
	d.printf(`<style>
svg { background: #ffffff; color-scheme: light dark }
text { font: 12px system-ui, sans-serif; fill: #1f2937 }
text.in { fill: #ffffff; font-weight: 600 }
.none { fill: #f1f5f9; stroke: #cbd5e1 }
.grid { stroke: #cbd5e1 }
@media (prefers-color-scheme: dark) {
  svg { background: #111827 }
  text { fill: #e5e7eb }
  .none { fill: #1f2937; stroke: #374151 }
  .grid { stroke: #374151 }
}
</style>`)
	d.text(10, 20, "", fmt.Sprintf("Who served which LIM, %s to %s (UTC)", d.from.UTC().Format("2006-01-02 15:04:05"), d.to.UTC().Format("2006-01-02 15:04:05")))
}

// x places a time.
func (d *drawing) x(t time.Time) float64 {
	part := float64(t.Sub(d.from)) / float64(d.to.Sub(d.from))
	return leftMargin + plotWidth*min(max(part, 0), 1)
}

// bar draws one span, wide enough to be seen, with all of it said in its title.
func (d *drawing) bar(s Span, y int, color string) {
	x, width := d.x(s.From), max(d.x(s.To)-d.x(s.From), 1)
	took := s.To.Sub(s.From).Round(time.Millisecond)
	d.printf(`<g><title>%s</title>`, html.EscapeString(fmt.Sprintf("LIM %d on %s for %s, from %s to %s", s.LIM, s.Server, took,
		s.From.UTC().Format("2006-01-02T15:04:05.000Z"), s.To.UTC().Format("2006-01-02T15:04:05.000Z"))))
	d.printf(`<rect x="%.2f" y="%d" width="%.2f" height="%d" fill="%s"/>`, x, y, width, barHeight, color)
	if width > float64(9*len(s.Server)+8) {
		d.text(int(x)+5, y+barHeight-6, ` class="in"`, s.Server)
	}
	d.printf(`</g>`)
}

// axis draws the time below the rows.
func (d *drawing) axis(bottom int) {
	step := tickStep(d.to.Sub(d.from))
	layout := "15:04:05"
	if step >= time.Minute {
		layout = "15:04"
	}
	if step >= 24*time.Hour {
		layout = "01-02"
	}
	for t := d.from.UTC().Truncate(step).Add(step); !t.After(d.to); t = t.Add(step) {
		d.printf(`<line class="grid" x1="%.2f" y1="%d" x2="%.2f" y2="%d"/>`, d.x(t), topMargin-6, d.x(t), bottom+4)
		d.text(int(d.x(t))-20, bottom+18, "", t.Format(layout))
	}
}

// tickStep is a round time of which some ten fit into a length.
func tickStep(length time.Duration) time.Duration {
	const day = 24 * time.Hour
	steps := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
		5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 30 * day}
	for _, s := range steps {
		if length/s <= 12 {
			return s
		}
	}
	return length.Truncate(day) / 10
}

// LIMs lists the LIMs that events speak of, in order.
func LIMs(list []Event) []int {
	var out []int
	for i := range list {
		if n := list[i].LIM; n != 0 && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// String says a span in words, for tests and for people.
func (s Span) String() string {
	return strings.Join([]string{fmt.Sprintf("LIM %d on %s", s.LIM, s.Server), s.From.UTC().Format("15:04:05"), s.To.UTC().Format("15:04:05")}, " ")
}
