package events

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func state(second int, server string, lim int, was, is string) Event {
	return Event{Time: start.Add(time.Duration(second) * time.Second), Server: server, Kind: State, LIM: lim, Was: was, Is: is}
}

func TestSpans(t *testing.T) {
	from, to := start, start.Add(time.Minute)
	gone := Event{Time: start.Add(20 * time.Second), Server: "sb1", Kind: Server, Subject: "srv1", Is: "gone"}
	started := Event{Time: start.Add(40 * time.Second), Server: "srv1", Kind: Agent, Is: "started"}
	for _, tt := range []struct {
		name string
		list []Event
		want string
	}{
		{"nothing", nil, ""},
		{"goes on", []Event{state(10, "srv1", 1, "starting", "running")}, "LIM 1 on srv1 02:00:10 02:01:00"},
		{"ends", []Event{state(10, "srv1", 1, "running", "stopping"), state(11, "srv1", 1, "stopping", "stopped")}, "LIM 1 on srv1 02:00:00 02:00:10"},
		{"moves", []Event{state(10, "srv1", 1, "running", "stopping"), state(11, "sb1", 1, "starting", "running")},
			"LIM 1 on srv1 02:00:00 02:00:10; LIM 1 on sb1 02:00:11 02:01:00"},
		{"a later term is no end", []Event{state(10, "srv1", 1, "starting", "running"), state(12, "srv1", 1, "running", "running")},
			"LIM 1 on srv1 02:00:10 02:01:00"},
		{"loses its power", []Event{state(10, "srv1", 1, "starting", "running"), gone, state(21, "sb1", 1, "starting", "running")},
			"LIM 1 on srv1 02:00:10 02:00:20; LIM 1 on sb1 02:00:21 02:01:00"},
		{"agent anew, LIM goes on", []Event{state(10, "srv1", 1, "starting", "running"), started, state(41, "srv1", 1, "running", "running")},
			"LIM 1 on srv1 02:00:10 02:01:00"},
		{"agent anew, LIM is down", []Event{state(10, "srv1", 1, "starting", "running"), started, state(50, "srv1", 1, "starting", "running")},
			"LIM 1 on srv1 02:00:10 02:00:40; LIM 1 on srv1 02:00:50 02:01:00"},
		{"agent anew, nothing more is heard", []Event{state(10, "srv1", 1, "starting", "running"), started},
			"LIM 1 on srv1 02:00:10 02:00:40"},
	} {
		var got []string
		for _, s := range Spans(tt.list, from, to) {
			got = append(got, s.String())
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTimelineIsWellFormed(t *testing.T) {
	for _, length := range []time.Duration{0, 50 * time.Millisecond, time.Minute, 3 * time.Hour, 400 * 24 * time.Hour} {
		var spans []Span
		var lims []int
		for i := range 12 {
			lims = append(lims, i+1)
			spans = append(spans, Span{LIM: i + 1, Server: fmt.Sprintf("srv<%d>&", i), From: start, To: start.Add(length / 2)},
				Span{LIM: i + 1, Server: "sb1", From: start.Add(length / 2), To: start.Add(length)})
		}
		svg := Timeline(spans, lims, start, start.Add(length))
		bars := 0
		dec := xml.NewDecoder(bytes.NewReader(svg))
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", length, err, svg)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "g" {
				bars++
			}
		}
		if bars != len(spans) || len(svg) > 100<<10 || !bytes.Contains(svg, []byte("prefers-color-scheme: dark")) {
			t.Errorf("%s: %d bars of %d, %d bytes", length, bars, len(spans), len(svg))
		}
	}
}

// The drawing, for people to look at: rows, a legend of two lines, names in those bars that
// have room for them, and an axis by minutes, by hours and by days. UPDATE_GOLDEN=1 writes it.
func TestTimelineIsDrawnAsBefore(t *testing.T) {
	for name, length := range map[string]time.Duration{"seconds": 12 * time.Second, "minutes": 12 * time.Minute, "hour": time.Hour, "days": 3 * 24 * time.Hour, "twelve-days": 12 * 24 * time.Hour, "year": 400 * 24 * time.Hour} {
		var spans []Span
		for i := range 8 {
			from := start.Add(length * time.Duration(i) / 8)
			spans = append(spans, Span{LIM: 1 + i%3, Server: fmt.Sprintf("srv%d", i+1), From: from, To: from.Add(length * time.Duration(i) / 64)})
		}
		// A name that just has room, and two that have not.
		for i, width := range []time.Duration{length * 27 / 1000, length * 26 / 1000, length * 25 / 1000} {
			from := start.Add(length * time.Duration(i+1) / 5)
			spans = append(spans, Span{LIM: 4, Server: "s1", From: from, To: from.Add(width)})
		}
		got := Timeline(spans, []int{1, 2, 3, 4}, start, start.Add(length))
		file := filepath.Join("testdata", "timeline-"+name+".svg")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// LIMs without a number, and those that come again, have no row.
func TestLIMsOfEvents(t *testing.T) {
	if got := LIMs([]Event{{LIM: 2}, {}, {LIM: 1}, {LIM: 2}}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v", got)
	}
}
