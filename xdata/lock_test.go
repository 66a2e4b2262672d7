package xdata

import (
	"strings"
	"testing"
)

// Who looks whether the data of a LIM are in use names who uses them, and keeps nobody off.
func TestWhoUsesTheData(t *testing.T) {
	s := newStore(t)
	if by := s.InUse(1); by != "" {
		t.Errorf("before anything was there: %q", by)
	}
	release, err := s.lock(1, "a sync")
	if err != nil {
		t.Fatal(err)
	}
	if by := s.InUse(1); !strings.HasPrefix(by, "a sync (process ") {
		t.Errorf("while a sync runs: %q", by)
	}
	release()
	if by := s.InUse(1); by != "" {
		t.Errorf("afterwards: %q", by)
	}
	if release, err = s.lock(1, "a sync"); err != nil {
		t.Fatalf("it cannot be taken again: %v", err)
	}
	release()
}
