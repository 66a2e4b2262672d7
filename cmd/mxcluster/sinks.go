package main

import (
	"os"
	"time"

	"mxcluster/commands"
	"mxcluster/internal/settings"
	"mxcluster/internal/sinks"
	"mxcluster/internal/snmp"
	"mxcluster/internal/trusted"
)

// openSinks returns whom the settings have told of alarms. Nothing is opened yet.
func openSinks(s commands.AgentSetup) ([]sinks.Sink, error) {
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
	managers, err := openSNMP(s)
	return append(out, managers...), err
}

// openSNMP returns the SNMP managers of the settings.
func openSNMP(s commands.AgentSetup) ([]sinks.Sink, error) {
	at := s.Settings.Alarms.SNMP
	if !at.On() {
		return nil, nil
	}
	cfg := snmp.Config{Version: at.Version, Inform: at.Inform, Community: "public", User: at.User, AuthProtocol: at.AuthProtocol, PrivProtocol: at.PrivProtocol,
		EngineID: snmp.EngineID(s.Settings.Server), Started: time.Now()}
	for _, secret := range []struct {
		file string
		into *string
	}{{at.CommunityFile, &cfg.Community}, {at.AuthFile, &cfg.AuthPass}, {at.PrivFile, &cfg.PrivPass}} {
		if secret.file == "" {
			continue
		}
		var err error
		if *secret.into, err = settings.LoadPassword(secret.file); err != nil {
			return nil, err
		}
	}
	var out []sinks.Sink
	for _, target := range at.List() {
		cfg.Target = target
		out = append(out, &snmp.Sink{Config: cfg, Now: time.Now})
	}
	return out, nil
}
