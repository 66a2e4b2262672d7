package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// rotationSlow is after what time a rotation that waits is worth an alarm.
const rotationSlow = 10 * time.Minute

// Keys answers `key show`.
func (a *Agent) Keys(ctx context.Context) (*control.KeyInfo, error) {
	return on(ctx, a.core, func() (*control.KeyInfo, error) { return a.keyInfo(), nil })
}

// RotateKey begins a rotation of the gossip key, unless one is on its way.
func (a *Agent) RotateKey(ctx context.Context, r control.KeyRequest) (*control.KeyInfo, error) {
	begins := false
	begun, err := on(ctx, a.core, func() (<-chan error, error) {
		done := make(chan error, 1)
		if a.stopping {
			return nil, fault.New(fault.Refused, "", "this agent is stopping")
		}
		begins = !rotating(a.keyring.keys)
		if !begins || r.DryRun {
			done <- nil
			return done, nil
		}
		a.beginRotation(r, func(err error) { done <- err })
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
	info, err := a.Keys(ctx)
	if err == nil {
		info.Begun = begins
	}
	return info, err
}

// keyInfo is what this server knows of everybody's keys.
func (a *Agent) keyInfo() *control.KeyInfo {
	own, others := a.keyring.keys, a.keyClaims()
	target := newestKey(own).Fingerprint()
	info := &control.KeyInfo{Server: a.cfg.Server, Target: target, Stage: keyStage(target, a.keyring.claim(), others)}
	if info.Stage == control.KeysSettled && !a.settled {
		info.Stage = control.KeysUnknown // it has not heard yet what the others have
	}
	for _, key := range own {
		info.Keys = append(info.Keys, control.NewKeyState(key.Fingerprint(), key.Made))
	}
	for _, s := range a.doc.Servers {
		c, live := *a.keyring.claim(), failover.Alive
		if s.Name != a.cfg.Server {
			c, live = others[s.Name], a.peer(s.Name).liveness
		}
		entry := control.ServerKeys{Server: s.Name, Reachable: live == failover.Alive, Primary: c.primary(), Accepted: slices.Clone(c.Accepted), Failed: c.Failed}
		entry.Behind = keyBehind(info.Stage, target, c, live)
		info.Servers = append(info.Servers, entry)
	}
	return info
}

// keyStage says how far a rotation is, as far as servers were heard.
func keyStage(target string, own *keyClaim, others map[string]keyClaim) control.KeyStage {
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
	case unheard || slices.ContainsFunc(all, func(c keyClaim) bool { return !c.accepts(target) }):
		return control.KeysSpreading
	case slices.ContainsFunc(all, func(c keyClaim) bool { return c.primary() != target }):
		return control.KeysSwitching
	}
	return stage
}

// keyBehind says why a rotation waits for a server, "" if it does not.
func keyBehind(stage control.KeyStage, target string, c keyClaim, live failover.Liveness) string {
	silent := map[failover.Liveness]string{failover.Gone: "is down", failover.AgentLost: "has no agent that answers", failover.Unheard: "was not heard"}[live]
	late := map[control.KeyStage]bool{
		control.KeysSpreading: !c.accepts(target),
		control.KeysSwitching: c.primary() != target,
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

// keyConditions tells of a rotation that does not come to its end.
func (a *Agent) keyConditions() []alarms.Condition {
	if !rotating(a.keyring.keys) {
		return nil
	}
	return []alarms.Condition{{Name: alarms.KeyRotation, Severity: alarms.Warning, After: rotationSlow,
		Text: fmt.Sprintf("the rotation of the gossip key waits for %s; `mxcluster key show` says why", a.keyInfo().Waiting())}}
}
