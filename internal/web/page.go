package web

import (
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
)

//go:embed page.html
var pageText embed.FS

// refreshSeconds is how often a browser asks for the page anew.
const refreshSeconds = 10

// maxShown bounds the events in words on the page.
const maxShown = 60

// view is what the page shows.
type view struct {
	Now       time.Time
	Silent    bool // the agent does not answer
	Status    *status.ClusterStatus
	Alarms    *status.AlarmList
	Events    *events.List
	EventsErr error
}

// render writes the page.
func (v *view) render(w io.Writer) error {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"refresh": func() int { return refreshSeconds },
		"age":     func(t time.Time) string { return age(v.Now.Sub(t)) },
		"silent":  silence,
		"yes":     answer,
		"stamp":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"side":    sideOf,
		"data":    dataWords,
		"where":   whereWords,
	}).ParseFS(pageText, "page.html")
	if err != nil {
		return fmt.Errorf("reading the page's form: %w", err)
	}
	return t.Execute(w, v)
}

// age says a time in its largest unit, or two of them.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// answer says what may not be known.
func answer(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "yes"
	}
	return "no"
}

// silence says for how long nothing was heard of a server; "": it was heard just now.
func silence(s status.StatusServer) string {
	if s.SilentMs == nil || *s.SilentMs < 5000 {
		return ""
	}
	return age(time.Duration(*s.SilentMs) * time.Millisecond)
}

// place is one side of a LIM on the page.
type place struct {
	Server, Address, State string
	Active                 bool
	Twice                  bool // it has the alias, though the LIM is active on the other side
}

// sideOf is what the page says of one side of a LIM.
func sideOf(c status.StatusCluster, l status.StatusLIM, side string) place {
	p := place{Server: "?"}
	for _, h := range l.Alias.Holders {
		for _, s := range c.Servers {
			if s.Name == h.Server && s.Role == side {
				p.Server = s.Name
			}
		}
	}
	if p.Server == "?" && side == "standby" {
		for _, s := range c.Servers {
			if s.Role == "standby" {
				p.Server = s.Name
			}
		}
	}
	switch {
	case l.Side == side:
		p.Active, p.State = true, l.State
	case l.Side == "unknown":
		p.State = "unknown"
	case side == "standby" && l.Preload != nil:
		p.State = *l.Preload
	case l.Side == "none" && side == "regular":
		p.State = l.State
	default:
		p.State = "not active"
	}
	for _, h := range l.Alias.Holders {
		if h.Server == p.Server && !p.Active && (l.Side == "regular" || l.Side == "standby") && is(h.Present, true) && is(h.Blocked, false) {
			p.Twice, p.State = true, "has the alias, too"
		}
	}
	return p
}

// is reports whether something is known, and is so.
func is(known *bool, so bool) bool { return known != nil && *known == so }

// trouble is one thing that is not as it should be, and what to type.
type trouble struct {
	Text   string
	Remedy *failover.Remedy // nil: there is none, or the next one has the same
}

// Troubles are what `status` begins with. What is no matter of the next failure comes last, with its
// severity.
func (v *view) Troubles() []trouble {
	all := v.Status.Troubles()
	slices.SortStableFunc(all, func(a, b status.Trouble) int {
		switch {
		case a.Beside == b.Beside:
			return 0
		case b.Beside:
			return -1
		}
		return 1
	})
	var out []trouble
	for i := range all {
		t := trouble{Text: all[i].String(), Remedy: all[i].Remedy}
		if all[i].Beside {
			t.Text = all[i].Severity + ": " + t.Text
		}
		if t.Remedy != nil && i+1 < len(all) && all[i+1].Remedy != nil && *all[i+1].Remedy == *t.Remedy {
			t.Remedy = nil
		}
		out = append(out, t)
	}
	return out
}

// whereWords says where a command is typed, and when.
func whereWords(r *failover.Remedy) string {
	words := r.What
	if r.On != "" {
		words = strings.TrimSuffix("on "+r.On+", "+r.What, ", ")
	}
	if words == "" {
		return ""
	}
	return words + ": "
}

// dataWords says how the data of a LIM stand.
func dataWords(l status.StatusLIM) string {
	d := l.Data
	switch {
	case d == nil || d.Newest == nil:
		return "none"
	case d.Conflict != nil && *d.Conflict:
		return "conflict"
	case len(d.Damaged) > 0:
		return "damaged"
	}
	words := "unknown"
	if d.InSync != nil && *d.InSync {
		words = "in sync"
	} else if d.InSync != nil {
		words = "not in sync"
	}
	if d.AgeMs != nil {
		words += ", " + age(time.Duration(*d.AgeMs)*time.Millisecond) + " old"
	}
	return words
}

// Lead is the answer to the first question.
func (v *view) Lead() string {
	switch r := v.Status.Redundant; {
	case r == nil:
		return "Redundant: unknown"
	case *r:
		return "Redundant: yes"
	}
	return "NOT REDUNDANT"
}

// LeadClass names how the lead looks.
func (v *view) LeadClass() string {
	switch r := v.Status.Redundant; {
	case r == nil:
		return "unknown"
	case *r && v.Status.Health == "ok":
		return "ok"
	case v.Status.Health == "critical":
		return "critical"
	}
	return "warning"
}

// Counting lists the alarms that count, the gravest first, and Quiet the others.
func (v *view) Counting() []status.Alarm { return v.alarmsThat(true) }

// Quiet lists the alarms that are noticed or as expected.
func (v *view) Quiet() []status.Alarm { return v.alarmsThat(false) }

func (v *view) alarmsThat(count bool) []status.Alarm {
	var out []status.Alarm
	for _, a := range v.Alarms.Alarms {
		if a.Counts() == count {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b status.Alarm) int {
		if c := strings.Compare(a.Severity, b.Severity); c != 0 {
			return c
		}
		return a.RaisedAt.Compare(b.RaisedAt)
	})
	return out
}

// Timeline is the last day as a picture, for an image of its own; "": there is none.
func (v *view) Timeline() template.URL {
	if v.Events == nil {
		return ""
	}
	from := v.Now.Add(-shownEvents)
	lims := events.LIMs(v.Events.Events)
	if len(lims) == 0 {
		return ""
	}
	svg := events.Timeline(events.Spans(v.Events.Events, from, v.Now), lims, from, v.Now)
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg)) //nolint:gosec // made by this program, every text in it escaped
}

// Latest are the last events of what happened to LIMs and servers, the newest first.
func (v *view) Latest() []events.Event {
	if v.Events == nil {
		return nil
	}
	var out []events.Event
	for _, e := range slices.Backward(v.Events.Events) {
		if e.Kind != events.Decision && len(out) < maxShown {
			out = append(out, e)
		}
	}
	return out
}
