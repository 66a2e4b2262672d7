package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// told returns an environment that keeps what is told.
func told() (Env, *[]string) {
	var texts []string
	e := env
	e.Tell = func(text string) { texts = append(texts, text) }
	return e, &texts
}

// daemons start one in the script's group and one in a session of its own.
const daemons = `rm -f away
sleep 1000 >/dev/null 2>&1 &
echo $! >here
setsid sh -c 'echo $$ >away; exec sleep 1000' >/dev/null 2>&1 &
while [ ! -s away ]; do sleep 0.01; done`

// What a stop leaves is ended, and told; other LIMs of the same program go on.
func TestStopEndsWhatIsLeft(t *testing.T) { testStopEndsWhatIsLeft(t, here) }

func testStopEndsWhatIsLeft(t *testing.T, at place) {
	s, dir := newScript(t, at.opt(20*time.Second), map[string]string{"start": daemons})
	other := env
	other.LIM++
	must(t, s.Start(t.Context(), other))
	others := []int{pidIn(t, filepath.Join(dir, "here")), pidIn(t, filepath.Join(dir, "away"))}
	must(t, s.Start(t.Context(), env))
	mine := []int{pidIn(t, filepath.Join(dir, "here")), pidIn(t, filepath.Join(dir, "away"))}
	e, texts := told()
	must(t, s.Stop(t.Context(), e))
	for _, pid := range mine {
		at.gone(t, pid)
	}
	for _, pid := range others {
		if !at.alive(pid) {
			t.Errorf("process %d of another LIM was ended", pid)
		}
	}
	if len(*texts) != 1 || !strings.Contains((*texts)[0], "sleep (") {
		t.Errorf("told %q", *texts)
	}
	must(t, s.Stop(t.Context(), other))
	if e, texts = told(); s.Stop(t.Context(), e) != nil || len(*texts) > 0 {
		t.Errorf("told %q of a stop that left nothing", *texts)
	}
}

// A program that is gone stops nothing: what it had started is ended when it is to be started again,
// and fails.
func TestStartOfAProgramThatIsGone(t *testing.T) { testStartOfAProgramThatIsGone(t, here) }

func testStartOfAProgramThatIsGone(t *testing.T, at place) {
	s, dir := newScript(t, at.opt(20*time.Second), map[string]string{"start": daemons})
	must(t, s.Start(t.Context(), env))
	mine := []int{pidIn(t, filepath.Join(dir, "here")), pidIn(t, filepath.Join(dir, "away"))}
	must(t, os.Remove(strings.TrimPrefix(s.String(), "exec:")))
	e, texts := told()
	if err := (Set{s}).Start(t.Context(), e); !neverRan(err) {
		t.Errorf("error %v", err)
	}
	for _, pid := range mine {
		at.gone(t, pid)
	}
	if len(*texts) != 1 || !strings.Contains((*texts)[0], "sleep (") {
		t.Errorf("told %q", *texts)
	}
}

// What does not end when asked is made to; and a stop that hangs has stopped the
// service if nothing runs in the end, but not if it says otherwise.
func TestHungStop(t *testing.T) { testHungStop(t, here) }

func testHungStop(t *testing.T, at place) {
	for _, c := range []struct {
		status  string
		stopped bool
	}{{"exit 3", true}, {"exit 0", false}} {
		s, dir := newScript(t, at.opt(time.Second), map[string]string{
			"start": "(trap '' TERM; sh -c 'echo $PPID >stubborn'; while :; do sleep 1; done) >/dev/null 2>&1 &\nwhile [ ! -s stubborn ]; do sleep 0.01; done",
			"stop":  "sleep 1000", "status": "[ -e stubborn ] || exit 3\n" + c.status})
		must(t, s.(*script).do(t.Context(), env, "start", 20*time.Second))
		e, texts := told()
		err := s.Stop(t.Context(), e)
		at.gone(t, pidIn(t, filepath.Join(dir, "stubborn")))
		switch {
		case c.stopped && (err != nil || len(*texts) != 1 || !strings.Contains((*texts)[0], "did not end within "+at.opt(time.Second).StopTimeout.String()+" and was ended")):
			t.Errorf("status %q: %v, told %q", c.status, err, *texts)
		case !c.stopped && fault.CodeOf(err) != fault.Failed:
			t.Errorf("status %q: %v", c.status, err)
		}
	}
}
