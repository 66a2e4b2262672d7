//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	runScenario(t, "key-rotation", program(t))
}

// keyRotationScenario exchanges the gossip key of real agents: no LIM moves, no
// agent misses another, no call is lost. Then it does so with an agent killed in the
// middle, and with a server that has no power, which the rotation waits for.
func keyRotationScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	first, err := x.oneKey()
	f.noError(err, "before")
	var second settings.Keys
	f.noError(x.undisturbed(ctx, "gossip key exchanged", func() error {
		if err := x.mx(ctx, x.srv1, "key", "rotate", "--wait"); err != nil {
			return err
		}
		second, err = x.oneKey()
		return err
	}), "rotation")
	f.check(!second.Equal(first), "the key is the one of before")
	f.noError(x.nobodyMissed(), "rotation")

	f.noError(x.undisturbed(ctx, "gossip key exchanged, an agent killed meanwhile", func() error {
		if err := x.mx(ctx, x.srv1, "key", "rotate"); err != nil {
			return err
		}
		if err := x.srv2.SignalAgent(ctx, unix.SIGKILL); err != nil {
			return err
		}
		if err := x.startAgent(ctx, x.srv2); err != nil {
			return err
		}
		return x.mx(ctx, x.srv2, "key", "rotate", "--force", "--wait")
	}), "rotation with a kill")
	_, err = x.oneKey()
	f.noError(err, "after a kill")

	f.noError(x.rotateWithoutSrv2(ctx), "rotation with a server down")
	_, err = x.oneKey()
	f.noError(err, "after the boot")
	return f.err()
}

// rotateWithoutSrv2 has srv2 lose its power before a rotation, and come back with
// the former key while it waits.
func (x *site) rotateWithoutSrv2(ctx context.Context) error {
	var f findings
	f.noError(x.srv2.PowerCut(), "power cut")
	f.noError(x.await(ctx, 2, "sb1"), "takeover")
	_, err := x.srv1.Mxcluster(ctx, "key", "rotate", "--wait=1s")
	f.check(fault.CodeOf(err) == fault.Unknown && strings.Contains(err.Error(), "srv2 (is down)"), "waiting for srv2: %v", err)
	if err := x.srv2.Boot(ctx); err != nil {
		return err
	}
	if err := x.startAgent(ctx, x.srv2); err != nil {
		return err
	}
	f.noError(x.mx(ctx, x.srv2, "key", "rotate", "--force", "--wait"), "the same rotation")
	return f.err()
}

// oneKey returns the one key that all servers have in their files.
func (x *site) oneKey() (settings.Keys, error) {
	var first settings.Keys
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
		path := filepath.Join(s.Dir(), "etc", "gossip.key")
		keys, err := settings.LoadKeys(path)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = keys
		}
		if len(keys) != 1 || !keys.Equal(first) {
			return nil, fmt.Errorf("%s has keys %v, not the one of srv1", s.Name, keys.Fingerprints())
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".gossip*")); err != nil || len(left) > 0 {
			return nil, fmt.Errorf("%s has left %v behind (%w)", s.Name, left, err)
		}
	}
	return first, nil
}

// nobodyMissed looks whether any agent told that another was silent since the
// cluster was made.
func (x *site) nobodyMissed() error {
	var f findings
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
		log, err := os.ReadFile(s.agentLog())
		f.noError(err, "reading the log of "+s.Name)
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "kind=server") && !strings.Contains(line, "is=alive") {
				f.check(false, "%s: %s", s.Name, strings.TrimSpace(line))
			}
		}
	}
	return f.err()
}
