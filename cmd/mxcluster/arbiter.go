package main

import (
	"net/netip"

	"mxcluster/commands"
	"mxcluster/internal/arbiter"
	"mxcluster/internal/settings"
)

// openArbiter returns the arbiter that the settings name, nil without one.
// Nothing is connected yet: an etcd that is down keeps no agent from starting.
func openArbiter(s commands.AgentSetup) (*arbiter.Etcd, error) {
	at := s.Settings.Arbiter
	if !at.On() {
		return nil, nil
	}
	doc, err := s.Documents.Read()
	if err != nil {
		return nil, err
	}
	cfg := arbiter.Config{Endpoints: at.List(), User: at.User, Prefix: at.Prefix, System: doc.System, Source: lasting(s)}
	if cfg.TLS, err = arbiter.LoadTLS(at.CA, at.Cert, at.Key); err != nil {
		return nil, err
	}
	if at.User != "" {
		if cfg.Password, err = settings.LoadPassword(at.PasswordFile); err != nil {
			return nil, err
		}
	}
	return arbiter.New(cfg), nil
}

// lasting returns what has connections come from this server's base address where the
// kernel would take an alias: after `create` that is the first of its addresses.
func lasting(s commands.AgentSetup) func(netip.Addr) netip.Addr {
	return func(chosen netip.Addr) netip.Addr {
		doc, err := s.Documents.Read()
		if err != nil {
			return chosen
		}
		self := doc.Server(s.Settings.Server)
		for _, c := range doc.Clusters {
			for _, m := range c.LIMs {
				if self != nil && m.Alias.Addr() == chosen {
					return self.Base.Addr()
				}
			}
		}
		return chosen
	}
}
