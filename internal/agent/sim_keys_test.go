package agent

import (
	"context"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
)

// rotateSome orders a rotation of the gossip key on a server.
func (s *simulation) rotateSome(on string, _ int) {
	agent := s.servers[on].agent
	if agent == nil {
		return
	}
	s.note("rotation of the gossip key, ordered on %s", on)
	s.pumps.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		info, err := agent.RotateKey(ctx, control.KeyRequest{By: "test"})
		if err != nil {
			s.note("no rotation on %s: %v", on, err)
			return
		}
		s.note("rotation to %s on %s, begun %v", info.Target, on, info.Begun)
	})
}

// wrongKeys says what is wrong with the gossip keys at the end. With every server up,
// all have one, and the same; one that stays out of order keeps the others at that
// stage, but what it would speak with is accepted by all.
func (s *simulation) wrongKeys(d *clusterconf.Document, left string) string {
	first, err := s.servers[s.editor(left)].keys.Load()
	if err != nil {
		return err.Error()
	}
	for _, x := range d.Servers {
		name := x.Name
		keys, err := s.servers[name].keys.Load()
		switch {
		case err != nil:
			return err.Error()
		case name == left && !first.Has(keys[0]) && !s.members.again[name]:
			return fmt.Sprintf("%s, which is out of order, speaks with %s, and %s does not accept that", name, keys[0].Fingerprint(), s.editor(left))
		case left == "" && (len(keys) != 1 || !keys.Equal(first)):
			return fmt.Sprintf("%s has gossip keys %v, %s has %v", name, keys.Fingerprints(), s.editor(left), first.Fingerprints())
		}
	}
	return ""
}
