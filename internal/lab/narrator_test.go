//go:build linux

package lab

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMeasurementOK(t *testing.T) {
	const ms = time.Millisecond
	good := func() *measurement {
		return &measurement{holders: []string{"srv1", "sb1"}, last: "sb1"}
	}
	for _, c := range []struct {
		name   string
		change func(*measurement)
		ok     bool
	}{
		{"nothing lost", func(*measurement) {}, true},
		{"lost, none allowed", func(m *measurement) { m.service.Lost = 1 }, false},
		{"in time", func(m *measurement) { m.bound, m.service = 450*ms, Service{Lost: 80, Silence: 450 * ms} }, true},
		{"late", func(m *measurement) { m.bound, m.service = 450*ms, Service{Lost: 80, Silence: 451 * ms} }, false},
		{"held twice", func(m *measurement) { m.holding.Twice = 1 }, false},
		{"wrong holder", func(m *measurement) { m.last = "srv1" }, false},
		{"no holder", func(m *measurement) { m.holders = nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good()
			c.change(m)
			if m.ok() != c.ok {
				t.Errorf("ok %v, want %v: %+v", m.ok(), c.ok, m)
			}
		})
	}
}

func TestTable(t *testing.T) {
	rows := []*measurement{
		{event: "cluster created", last: "srv1", holders: []string{"srv1"},
			service: Service{Calls: 80, Silence: 6 * time.Millisecond}, holding: Holding{Requests: 81}},
		{event: "power cut of srv1", last: "sb1", holders: []string{"srv1", "sb1"}, bound: 450 * time.Millisecond,
			service: Service{Calls: 200, Lost: 90, Silence: 460400 * time.Microsecond}, holding: Holding{Requests: 201}},
		{event: "fallback to srv1", last: "srv1", holders: []string{"sb1", "srv1"}, bound: 450 * time.Millisecond,
			service: Service{Calls: 50, Lost: 3, Silence: 15 * time.Millisecond}, holding: Holding{Requests: 50}},
	}
	const want = `
EVENT              SILENCE  ALLOWED    CALLS LOST  ALIAS HELD BY  HELD TWICE  OK
cluster created    6 ms     none lost  0 of 80     srv1           0 of 81     yes
power cut of srv1  460 ms   450 ms     90 of 200   srv1, sb1      0 of 201    NO
fallback to srv1   15 ms    450 ms     3 of 50     sb1, srv1      0 of 50     yes
`
	var out bytes.Buffer
	if err := writeTable(&out, rows); err != nil || out.String() != want[1:] {
		t.Errorf("%v\n%s\nwant:\n%s", err, out.String(), want[1:])
	}
}

func TestNarrator(t *testing.T) {
	for _, c := range []struct {
		quiet bool
		want  []string
	}{
		{false, []string{"s  hello srv1", "           two", "           lines"}},
		{true, nil},
	} {
		var out bytes.Buffer
		n := newNarrator(&out, c.quiet)
		n.say("hello %s", "srv1")
		n.show([]byte("two\nlines  \n"))
		n.show(nil)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if c.quiet && out.Len() != 0 {
			t.Errorf("quiet narrator: %q", out.String())
		}
		for i, want := range c.want {
			if len(lines) != len(c.want) || !strings.HasSuffix(lines[i], want) {
				t.Errorf("lines %q, want %q", lines, c.want)
			}
		}
	}
}
