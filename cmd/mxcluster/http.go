package main

import (
	"context"
	"net/netip"
	"os"
	"time"

	"mxcluster/commands"
	"mxcluster/internal/control"
	"mxcluster/internal/web"
)

// serveHTTP returns what serves metrics and status beside an agent; nil: nothing is to.
func serveHTTP(s commands.AgentSetup) func(ctx context.Context, b control.Backend) {
	if s.Settings.MetricsListen == "" {
		return nil
	}
	cfg := web.Config{Setting: s.Settings.MetricsListen, Names: []string{s.Settings.Server}, Log: s.Log, Now: time.Now,
		Base: func() netip.Addr {
			doc, err := s.Documents.Read()
			if err != nil {
				return netip.Addr{}
			}
			if self := doc.Server(s.Settings.Server); self != nil {
				return self.Base.Addr()
			}
			return netip.Addr{}
		}}
	if name, err := os.Hostname(); err == nil {
		cfg.Names = append(cfg.Names, name)
	}
	return func(ctx context.Context, b control.Backend) { web.Serve(ctx, cfg, b) }
}
