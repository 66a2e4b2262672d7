package events

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// at makes an event of a number of seconds after the start.
func at(second, lim int, text string) Event {
	return Event{Time: start.Add(time.Duration(second) * time.Second), Server: "srv1", Kind: State, LIM: lim, Text: text}
}

// texts lists what a query finds.
func texts(t *testing.T, l *Log, q Query) string {
	t.Helper()
	found, _, err := l.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range found {
		out = append(out, fmt.Sprintf("%d %s", e.Seq, e.Text))
	}
	return strings.Join(out, ", ")
}

func TestAppendAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	l := &Log{Path: path}
	if got := texts(t, l, Query{}); got != "" {
		t.Errorf("before the first event: %q", got)
	}
	for _, batch := range [][]Event{{at(1, 1, "a"), at(2, 2, "b")}, {at(3, 1, "c")}} {
		if err := l.Append(batch); err != nil {
			t.Fatal(err)
		}
	}
	l = &Log{Path: path} // the next run
	if err := l.Append([]Event{at(4, 0, "d")}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		q    Query
		want string
	}{
		{"all", Query{}, "1 a, 2 b, 3 c, 4 d"},
		{"of a LIM", Query{LIM: 1}, "1 a, 3 c"},
		{"since then", Query{Since: start.Add(3 * time.Second)}, "3 c, 4 d"},
		{"after a number", Query{After: map[string]uint64{"srv1": 2, "srv2": 9}}, "3 c, 4 d"},
	} {
		if got := texts(t, l, tt.q); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What kill -9, a full disk or a stranger left is skipped, and nothing is lost
// behind it.
func TestDamagedLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	l := &Log{Path: path}
	if err := l.Append([]Event{at(1, 1, "a")}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\x00\x01\n{}\n[1]\n" + strings.Repeat("x", 3*maxLine) + "\n" + `{"time":"2026-03-01T02:00:0`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l = &Log{Path: path}
	if err := l.Append([]Event{at(2, 1, "b")}); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, l, Query{}); got != "1 a, 2 b" {
		t.Errorf("found %q", got)
	}
}

// The files stay bounded, the newest events are there, and an answer is bounded too.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := &Log{Path: filepath.Join(dir, "events")}
	const batches, each = 300, 50
	for b := range batches {
		batch := make([]Event, each)
		for i := range batch {
			batch[i] = at(b*each+i, 1, strings.Repeat("long ", 200))
		}
		if err := l.Append(batch); err != nil {
			t.Fatal(err)
		}
	}
	var size int64
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(files) > keep+1 || size > (keep+1)*(maxFile+100<<10) {
		t.Errorf("%d files of %d bytes together", len(files), size)
	}
	found, truncated, err := l.Read(Query{})
	if err != nil || !truncated || found[len(found)-1].Seq != batches*each {
		t.Fatalf("%d events, truncated %v, %v", len(found), truncated, err)
	}
	for i := 1; i < len(found); i++ {
		if found[i].Seq != found[i-1].Seq+1 {
			t.Fatalf("number %d comes after %d", found[i].Seq, found[i-1].Seq)
		}
	}
	// A run whose file was rotated away just now goes on counting.
	if err := os.Remove(l.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	l = &Log{Path: l.Path}
	if err := l.Append([]Event{at(1, 1, "next")}); err != nil {
		t.Fatal(err)
	}
	if found, _, err = l.Read(Query{}); err != nil || found[len(found)-1].Text != "next" {
		t.Errorf("after a rotation: %v", err)
	}
}

// Two write and one reads at the same time.
func TestConcurrentUse(t *testing.T) {
	l := &Log{Path: filepath.Join(t.TempDir(), "events")}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range 50 {
				if err := l.Append([]Event{at(i, 1, "x")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if _, _, err := l.Read(Query{}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if found, _, err := l.Read(Query{}); err != nil || len(found) != 100 {
		t.Errorf("%d events, %v", len(found), err)
	}
}

// A full disk is an error, and when there is room again events are written again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount a small disk: %v", err)
		}
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &Log{Path: filepath.Join(dir, "events")}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = l.Append([]Event{at(i, 1, strings.Repeat("full ", 200))})
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]Event{at(999, 1, "room again")}); err != nil {
		t.Fatal(err)
	}
	found, _, err := l.Read(Query{})
	if err != nil || found[len(found)-1].Text != "room again" {
		t.Errorf("after the disk had room again: %d events, %v", len(found), err)
	}
}

func TestMerge(t *testing.T) {
	of := func(server string, seq uint64, second int) Event {
		return Event{Server: server, Seq: seq, Time: start.Add(time.Duration(second) * time.Second)}
	}
	got := ""
	for _, e := range Merge([]Event{of("b", 1, 1), of("b", 2, 3)}, []Event{of("a", 1, 2), of("a", 2, 4)}, []Event{of("b", 2, 3)}) {
		got += fmt.Sprintf("%s%d ", e.Server, e.Seq)
	}
	if got != "b1 a1 b2 a2 " {
		t.Errorf("merged: %s", got)
	}
}

// What the disk does not take is read all the same, and is on the disk once, under its
// number, when that takes it again. Of too many the oldest are lost, which is told.
func TestEventsWaitForTheDisk(t *testing.T) {
	dir := t.TempDir()
	l := &Log{Path: filepath.Join(dir, "gone", "events")}
	one := func(text string) []Event {
		return []Event{{Time: time.Unix(1, 0).UTC(), Server: "s", Kind: Agent, Text: text}}
	}
	if err := l.Append(one("a")); err == nil {
		t.Fatal("a folder that is not there took an event")
	}
	if err := l.Append(one("b")); err == nil {
		t.Fatal("a folder that is not there took an event")
	}
	texts := func(l *Log) (out []string) {
		found, _, err := l.Read(Query{})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range found {
			if e.Seq == 0 || i > 0 && e.Seq < found[i-1].Seq {
				t.Errorf("numbers are out of order: %+v", found)
			}
			out = append(out, e.Text)
		}
		return out
	}
	if got := texts(l); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("read while they wait: %q", got)
	}
	if err := os.Mkdir(filepath.Join(dir, "gone"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(nil); err != nil {
		t.Fatal(err)
	}
	for _, log := range []*Log{l, {Path: l.Path}} {
		if got := texts(log); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("read from the disk: %q", got)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	for range maxWaiting + 3 {
		_ = l.Append(one("x"))
	}
	if got := texts(l); len(got) != maxWaiting+1 || got[0] != "3 events of s before this one are lost: the disk took none, and memory no more" {
		t.Errorf("%d events, the first: %q", len(got), got[0])
	}
}

// Numbers go on after a restart in whichever file the last one is, and what is no event is
// none.
func TestNumbersGoOn(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"in the present file":  {"": `{"seq":7}` + "\n"},
		"in the one before":    {".1": `{"seq":7}` + "\n"},
		"in the oldest one":    {".4": `{"seq":7}` + "\n"},
		"behind what is none":  {"": "{}\n" + `{"text":"x"}` + "\n\n", ".1": `{"seq":7}` + "\n"},
		"in front of an older": {"": `{"seq":7}` + "\n", ".1": `{"seq":6}` + "\n"},
	} {
		path := filepath.Join(t.TempDir(), "events")
		for suffix, text := range files {
			if err := os.WriteFile(path+suffix, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := &Log{Path: path}
		if err := l.Append([]Event{at(1, 1, "a")}); err != nil {
			t.Fatal(err)
		}
		found, _, err := l.Read(Query{})
		if err != nil || found[len(found)-1].Seq != 8 || slices.ContainsFunc(found, func(e Event) bool { return e.Seq == 0 }) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
}

// A file that cannot be read is an error, not the end of the numbers.
func TestUnreadableLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	if err := os.Mkdir(path+".1", 0o700); err != nil {
		t.Fatal(err)
	}
	l := &Log{Path: path}
	if err := l.Append([]Event{at(1, 1, "a")}); err == nil {
		t.Error("numbers begin anew")
	}
}

// A new file is begun with the batch that fills the present one.
func TestRotatesWhenFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	l := &Log{Path: path}
	batch := make([]Event, maxFile/2/(32<<10))
	for i := range batch {
		batch[i] = at(i, 1, strings.Repeat("x", 32<<10))
	}
	for i := range 2 {
		if _, err := os.Stat(path + ".1"); err == nil {
			t.Fatalf("after %d batches, each half of a file, a new one is begun", i)
		}
		if err := l.Append(batch); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Errorf("the file is full: %v", err)
	}
}

// An answer is as long as it may be, and says when it leaves some out.
func TestAnswerIsBounded(t *testing.T) {
	text := strings.Repeat("x", MaxBytes/8-200)
	for _, tt := range []struct {
		name      string
		events    []Event
		found     int
		truncated bool
	}{
		{"as long as it may", slices.Repeat([]Event{{Text: text}}, 8), 8, false},
		{"a little longer", append(slices.Repeat([]Event{{Text: text}}, 7), Event{Text: text + "x"}), 7, true},
	} {
		l := &Log{Path: filepath.Join(t.TempDir(), "events")}
		for i := range tt.events {
			tt.events[i].Seq = uint64(i + 1)
		}
		l.waiting = tt.events
		if found, truncated, err := l.Read(Query{}); len(found) != tt.found || truncated != tt.truncated || err != nil {
			t.Errorf("%s: %d events, truncated %t, %v", tt.name, len(found), truncated, err)
		}
	}
	if got := (&Event{Text: "1", Reason: "22", Subject: "4444", Is: "88888888", Was: strings.Repeat("6", 16), By: strings.Repeat("2", 32)}).size(); got != 200+63 {
		t.Errorf("an event counts %d bytes", got)
	}
}
