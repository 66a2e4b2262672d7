package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/rotation"
	"mxcluster/internal/settings"
)

// gossipKeys manages the gossip keys: the state of their rotation here and, by their statements, on
// the others.
type gossipKeys struct {
	*core
	peers *peers
	mail  *messenger
	ring  *rotation.Ring
}

// load reads the gossip keys and puts them into force in the pool.
func (a *gossipKeys) load() (err error) {
	a.ring, err = rotation.New(rotation.Config{Server: a.cfg.Server, File: a.deps.Keys, Log: a.log,
		Use: func(keys settings.Keys) error { return a.net.pool.SetKeys(keys.Secrets()) },
		Beside: func(work func() error, done func(error)) {
			a.wg.Go(func() {
				err := work()
				a.post(func() { done(err) })
			})
		},
		Record: func(level slog.Level, is, text string) { a.journal.key(level, is, text, "", "") }})
	return err
}

// keyClaims returns what the other servers state about their keys.
func (a *peers) keyClaims() map[string]rotation.Claim {
	out := map[string]rotation.Claim{}
	for _, s := range a.doc.Servers {
		if s.Name != a.cfg.Server {
			out[s.Name] = a.of(s.Name).keys
		}
	}
	return out
}

// step takes the next step of a rotation of the gossip key, and sends the newest key to servers
// that lack it.
func (a *gossipKeys) step(now time.Time) {
	if !rotation.Rotating(a.ring.Keys()) || a.stopping {
		return
	}
	others := a.peers.keyClaims()
	a.ring.Turn(now, others)
	var servers []string
	for _, s := range a.doc.Servers {
		servers = append(servers, s.Name)
	}
	newest, to := a.ring.Spread(servers, func(server string) bool { return a.peers.of(server).Liveness == failover.Alive }, others)
	for _, server := range to {
		a.mail.send(server, message{Type: typeKey, Key: newest}, nil)
	}
}

// heard handles a key that another server sent.
func (a *gossipKeys) heard(from string, m *rotation.Message) {
	if m != nil && a.doc.Server(from) != nil && !a.stopping {
		a.ring.Heard(from, *m)
	}
}

// begin makes a new key here; the following steps distribute it.
func (a *gossipKeys) begin(r control.KeyRequest, done func(error)) {
	a.ring.Begin(time.Now(), func(fingerprint string, err error) {
		if err == nil {
			a.journal.key(slog.LevelInfo, "rotation", fmt.Sprintf("a rotation of the gossip key to %s was ordered", fingerprint)+byWords(r.By, r.Reason), r.By, r.Reason)
		}
		done(err)
	})
}

// rotationSlow is after what time an incomplete rotation is an alarm.
const rotationSlow = 10 * time.Minute

// show answers `key show`.
func (a *gossipKeys) show(ctx context.Context) (*control.KeyInfo, error) {
	return on(ctx, a.core, func() (*control.KeyInfo, error) { return a.info(), nil })
}

// rotate starts a rotation of the gossip key, unless one is in progress.
func (a *gossipKeys) rotate(ctx context.Context, r control.KeyRequest) (*control.KeyInfo, error) {
	begins := false
	begun, err := on(ctx, a.core, func() (<-chan error, error) {
		done := make(chan error, 1)
		if a.stopping {
			return nil, fault.New(fault.Refused, "", "this agent is stopping")
		}
		begins = !rotation.Rotating(a.ring.Keys())
		if !begins || r.DryRun {
			done <- nil
			return done, nil
		}
		a.begin(r, func(err error) { done <- err })
		return done, nil
	})
	if err != nil {
		return nil, err
	}
	select {
	case err = <-begun:
	case <-ctx.Done():
		err = ctx.Err()
	case <-a.done:
		err = fault.New(fault.Unknown, "look at `mxcluster key show` before you try again", "the agent has stopped; the rotation may have begun")
	}
	if err != nil {
		return nil, err
	}
	info, err := a.show(ctx)
	if err == nil {
		info.Begun = begins
	}
	return info, err
}

// info describes the keys of all servers, as far as known.
func (a *gossipKeys) info() *control.KeyInfo {
	own, others := a.ring.Keys(), a.peers.keyClaims()
	target := rotation.Newest(own).Fingerprint()
	info := &control.KeyInfo{Server: a.cfg.Server, Target: target, Stage: keyStage(target, a.ring.Claim(), others)}
	if info.Stage == control.KeysSettled && !a.settled {
		info.Stage = control.KeysUnknown // the others' keys are not known yet
	}
	for _, key := range own {
		info.Keys = append(info.Keys, control.NewKeyState(key.Fingerprint(), key.Made))
	}
	for _, s := range a.doc.Servers {
		c, live := *a.ring.Claim(), failover.Alive
		if s.Name != a.cfg.Server {
			c, live = others[s.Name], a.peers.of(s.Name).Liveness
		}
		entry := control.ServerKeys{Server: s.Name, Reachable: live == failover.Alive, Primary: c.Primary(), Accepted: slices.Clone(c.Accepted), Failed: c.Failed}
		entry.Behind = keyBehind(info.Stage, target, c, live)
		info.Servers = append(info.Servers, entry)
	}
	return info
}

// keyStage returns the stage of a rotation, by the servers that were heard.
func keyStage(target string, own *rotation.Claim, others map[string]rotation.Claim) control.KeyStage {
	stage := control.KeysSettled
	if len(own.Accepted) > 1 {
		stage = control.KeysEnding
	}
	unheard := false
	for _, c := range others {
		if len(c.Accepted) == 0 {
			unheard = true
			continue
		}
		if len(c.Accepted) > 1 {
			stage = control.KeysEnding
		}
	}
	if stage == control.KeysSettled {
		return stage
	}
	all := append(slices.Collect(maps.Values(others)), *own)
	switch {
	case unheard || slices.ContainsFunc(all, func(c rotation.Claim) bool { return !c.Accepts(target) }):
		return control.KeysSpreading
	case slices.ContainsFunc(all, func(c rotation.Claim) bool { return c.Primary() != target }):
		return control.KeysSwitching
	}
	return stage
}

// keyBehind returns why a rotation waits for a server; "": it does not.
func keyBehind(stage control.KeyStage, target string, c rotation.Claim, live failover.Liveness) string {
	silent := map[failover.Liveness]string{failover.Gone: "is down", failover.AgentLost: "has no agent that answers", failover.Unheard: "was not heard"}[live]
	late := map[control.KeyStage]bool{
		control.KeysSpreading: !c.Accepts(target),
		control.KeysSwitching: c.Primary() != target,
		control.KeysEnding:    len(c.Accepted) > 1,
	}[stage]
	switch {
	case !late:
		return ""
	case c.Failed != "":
		return "cannot: " + c.Failed
	case silent != "":
		return silent
	case len(c.Accepted) == 0:
		return "says nothing of its keys: its program is older"
	}
	return map[control.KeyStage]string{control.KeysSpreading: "lacks the new key", control.KeysSwitching: "does not use the new key yet",
		control.KeysEnding: "still accepts the former key"}[stage]
}
