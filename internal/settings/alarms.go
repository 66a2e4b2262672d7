package settings

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Alarms says whom this server tells of alarms, beside its journal (package sinks).
type Alarms struct {
	Exec []string // program and its arguments; none: no program
}

func alarmKeys() []key {
	return []key{
		{"alarms.exec", "", program, "give the full path of a program, and its arguments behind it"},
	}
}

// program takes a path and arguments.
func program(s *Settings, value string) error {
	s.Alarms.Exec = nil
	words := strings.Fields(value)
	if len(words) == 0 {
		return nil
	}
	if !filepath.IsAbs(words[0]) {
		return fmt.Errorf("%q is not a full path", words[0])
	}
	s.Alarms.Exec = words
	return nil
}
