package main

import (
	"os"

	"mxcluster/commands"
	"mxcluster/internal/sinks"
	"mxcluster/internal/trusted"
)

// openSinks returns whom the settings have told of alarms. Nothing is opened yet.
func openSinks(s commands.AgentSetup) []sinks.Sink {
	var out []sinks.Sink
	if s.Journal {
		out = append(out, &sinks.Journal{Socket: sinks.JournalSocket})
	}
	if exec := s.Settings.Alarms.Exec; len(exec) > 0 {
		p := &sinks.Program{Path: exec[0], Args: exec[1:], Environ: os.Environ(), Trusted: trusted.Path}
		if s.Force {
			p.Trusted = nil
		}
		out = append(out, p)
	}
	return out
}
