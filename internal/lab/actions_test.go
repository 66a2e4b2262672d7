//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

func TestActions(t *testing.T) {
	t.Parallel()
	runScenario(t, "actions", program(t))
}

// actionsScenario takes a cluster through its life by commands alone, with agents:
// each has its effect on every server when it returns, and a connection through the
// address that clients know lives through all of it that does not move the LIM.
func actionsScenario(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	client, server, err := x.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	var f findings
	alias, base := labAddress(11), labAddress(21)
	for _, step := range []struct {
		args string
		code fault.Code
		has  []netip.Prefix // srv1, afterwards
	}{
		{"create c1 --standby sb1 --failover-after 400ms --lim 1=192.0.2.21 --wait", fault.OK, []netip.Prefix{alias, base}},
		{"add-lim c1 2 --base 192.0.2.100", fault.Refused, []netip.Prefix{alias, base}}, // the client has it
		{"add-lim c1 2 --base 192.0.2.22 --priority 50 --wait", fault.OK, []netip.Prefix{alias, base}},
		{"change c1 --priority 2=60 --fallback automatic --wait", fault.OK, []netip.Prefix{alias, base}},
		{"lock 1 --to regular --for 1h --wait", fault.OK, []netip.Prefix{alias, base}},
		{"lock 2 --to standby", fault.Refused, []netip.Prefix{alias, base}},
		{"unlock 1 --wait", fault.OK, []netip.Prefix{alias, base}},
		{"remove-lim c1 2 --yes --wait", fault.OK, []netip.Prefix{alias, base}},
		{"preload c1 --wait", fault.OK, []netip.Prefix{alias, base}},
		{"delete c1 --yes --wait", fault.OK, []netip.Prefix{alias}},
	} {
		f.noError(within(ctx, testStep, func(ctx context.Context) error {
			return x.runAction(ctx, step.args, step.code, step.has)
		}), step.args)
		f.noError(exchangeWords(client, server), "after "+step.args)
	}
	return f.err()
}

// runAction runs a command on srv1 and looks at its addresses, and that the documents of all
// servers are one.
func (x *site) runAction(ctx context.Context, args string, code fault.Code, want []netip.Prefix) error {
	err := x.mx(ctx, x.srv1, strings.Fields(args)...)
	if fault.CodeOf(err) != code {
		return fmt.Errorf("code %d, want %d: %w", fault.CodeOf(err), code, err)
	}
	if slices.Contains(want, labAddress(21)) {
		x.srv1.SetBase(labAddress(21))
	}
	if err := poll(ctx, "the addresses of srv1", func() bool {
		have, err := x.srv1.addresses()
		slices.SortFunc(have, netip.Prefix.Compare)
		return err == nil && slices.Equal(have, want)
	}); err != nil {
		have, _ := x.srv1.addresses()
		return fmt.Errorf("%w: has %v, want %v", err, have, want)
	}
	if !strings.HasSuffix(args, "--wait") {
		return nil
	}
	first, err := x.srv1.Mxcluster(ctx, "config", "show")
	if err != nil {
		return err
	}
	for _, s := range []*Server{x.srv2, x.standby} {
		text, err := s.Mxcluster(ctx, "config", "show")
		if err != nil {
			return err
		}
		if string(text) != string(first) {
			return fmt.Errorf("%s has another document:\n%s\nsrv1 has\n%s", s.Name, text, first)
		}
	}
	return nil
}
