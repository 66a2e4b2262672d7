package main

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Signals that come close together are one order; a hangup is never the second one.
func TestSecondSignal(t *testing.T) {
	type at struct {
		sig os.Signal
		ms  int
	}
	hup, term, quit := unix.SIGHUP, unix.SIGTERM, unix.SIGQUIT
	for name, tc := range map[string]struct {
		came      []at
		impatient bool
	}{
		"one":                        {[]at{{term, 0}}, false},
		"two at once":                {[]at{{term, 0}, {term, 100}}, false},
		"a person who does not wait": {[]at{{os.Interrupt, 0}, {os.Interrupt, 900}}, true},
		"another key":                {[]at{{os.Interrupt, 0}, {quit, 2000}}, true},
		"a terminal that goes away":  {[]at{{hup, 0}, {hup, 1000}, {hup, 2000}}, false},
		"a session that is ended":    {[]at{{term, 0}, {hup, 5000}}, false},
		"the other way round":        {[]at{{hup, 0}, {term, 5000}}, false},
		"and once more":              {[]at{{hup, 0}, {term, 5000}, {term, 9000}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ended := 0
			s := &signals{end: func(error) { ended++ }}
			impatient := false
			for _, x := range tc.came {
				impatient = s.take(x.sig, time.Unix(1000, 0).Add(time.Duration(x.ms)*time.Millisecond))
			}
			if impatient != tc.impatient || ended == 0 {
				t.Errorf("ended %d times, at once: %v, want %v", ended, impatient, tc.impatient)
			}
		})
	}
}

// Who asks for hangups is not ended by them, and gets many that come at once as one.
func TestHangupsAsMessages(t *testing.T) {
	s := &signals{end: func(why error) { t.Errorf("ended by %v", why) }, reloads: make(chan struct{}, 1)}
	told := s.hangups()
	for range 3 {
		if s.take(unix.SIGHUP, time.Unix(1000, 0)) {
			t.Error("a hangup ends the process at once")
		}
	}
	if len(told) != 1 {
		t.Errorf("%d messages", len(told))
	}
}
