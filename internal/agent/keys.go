package agent

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

// KeyFile keeps this server's gossip keys (package settings).
type KeyFile interface {
	Load() (settings.Keys, error)
	Replace(old, keys settings.Keys) error // durable when it returns
}

// DiskKeys is the file of the gossip keys; see [KeyFile].
type DiskKeys struct{ Path string }

// Load reads the keys.
func (d DiskKeys) Load() (settings.Keys, error) { return settings.LoadKeys(d.Path) }

// Replace makes keys durable in the place of old ones.
func (d DiskKeys) Replace(old, keys settings.Keys) error {
	return settings.ReplaceKeys(d.Path, old, keys)
}

const (
	keySettled = 2 * time.Second // how long a key is used by everybody before older ones go
	keySends   = 32              // servers that a new key is sent to at a time
)

// keyring is what this server knows of the gossip keys. A rotation has no leader
// and no state but the keys themselves: every agent says which it accepts, and does
// what follows from what all say (planKeys). So it goes on whoever dies, and two
// that were ordered at once end in one.
type keyring struct {
	keys    settings.Keys // in force and on disk
	writing bool          // beside the main loop
	failed  string        // why keys could not be kept here
	used    time.Time     // since when every server uses the newest one; zero: not so
}

// keyMessage carries a key to a server that lacks it.
type keyMessage struct {
	Secret []byte    `json:"secret"`
	Made   time.Time `json:"made"`
}

func (r *keyring) claim() *keyClaim {
	return &keyClaim{Accepted: r.keys.Fingerprints(), Failed: r.failed}
}

// keyClaims is what all other servers of the document say of their keys.
func (a *Agent) keyClaims() map[string]keyClaim {
	out := map[string]keyClaim{}
	for _, s := range a.doc.Servers {
		if s.Name != a.cfg.Server {
			out[s.Name] = a.peer(s.Name).keys
		}
	}
	return out
}

// turnKeys does the next step of a rotation, if there is one to do.
func (a *Agent) turnKeys(now time.Time) {
	r := &a.keyring
	if !rotating(r.keys) || a.stopping {
		return
	}
	others := a.keyClaims()
	if !keyInUse(r.keys, others) {
		r.used = time.Time{}
	} else if r.used.IsZero() {
		r.used = now
	}
	var used time.Duration
	if !r.used.IsZero() {
		used = now.Sub(r.used)
	}
	if next := planKeys(r.keys, others, used); !next.Equal(r.keys) {
		a.changeKeys(next, nil)
	}
	a.spreadKey(others)
}

// spreadKey sends the newest key to servers that live and lack it. Of those who
// could, the first in the document does.
func (a *Agent) spreadKey(others map[string]keyClaim) {
	newest := newestKey(a.keyring.keys)
	print := newest.Fingerprint()
	for _, s := range a.doc.Servers {
		if s.Name == a.cfg.Server {
			break
		}
		if a.peer(s.Name).liveness == failover.Alive && others[s.Name].accepts(print) {
			return
		}
	}
	sent := 0
	for _, s := range a.doc.Servers {
		c, other := others[s.Name]
		if !other || sent == keySends || c.accepts(print) || a.peer(s.Name).liveness != failover.Alive {
			continue
		}
		sent++
		a.send(s.Name, message{Type: typeKey, Key: &keyMessage{newest.Secret, newest.Made}}, nil)
	}
}

// keyHeard accepts a key that another server of the system has.
func (a *Agent) keyHeard(from string, m *keyMessage) {
	if m == nil || a.doc.Server(from) == nil || a.stopping {
		return
	}
	key := settings.Key{Secret: m.Secret, Made: m.Made.UTC().Truncate(time.Second)}
	r := &a.keyring
	switch {
	case !key.Valid() || key.Made.IsZero():
		a.log.Warn("ignoring a gossip key that cannot be one", "from", from, "bytes", len(m.Secret))
	case r.keys.Has(key):
	case len(r.keys) >= settings.MaxKeys:
		a.keysFailed(fmt.Errorf("%d gossip keys are accepted already; nobody can have ordered more rotations", len(r.keys)))
	default:
		a.changeKeys(append(slices.Clone(r.keys), key), nil)
	}
}

// changeKeys makes keys durable beside the main loop, and then puts them into force;
// done, where given, is told on the main loop what came of it. One change is made at
// a time: what is dropped here is found to be due again.
func (a *Agent) changeKeys(next settings.Keys, done func(error)) {
	r := &a.keyring
	if done == nil {
		done = func(error) {}
	}
	if r.writing {
		done(fault.New(fault.Busy, "try again", "the gossip keys are being written"))
		return
	}
	r.writing = true
	old := r.keys
	a.wg.Go(func() {
		err := a.deps.Keys.Replace(old, next)
		a.post(func() {
			r.writing = false
			if err == nil {
				err = a.useKeys(next)
			} else {
				a.keysFailed(err)
			}
			done(err)
		})
	})
}

// useKeys puts keys into force that are on disk.
func (a *Agent) useKeys(next settings.Keys) error {
	if err := a.net.pool.SetKeys(next.Secrets()); err != nil {
		a.keysFailed(err)
		return err
	}
	old := a.keyring.keys
	a.keyring.keys, a.keyring.failed = next, ""
	a.recordKeys(old, next)
	return nil
}

func (a *Agent) keysFailed(err error) {
	if why := err.Error(); why != a.keyring.failed {
		a.keyring.failed = why
		a.recordKey(slog.LevelError, "failed", fmt.Sprintf("the gossip keys of %s could not be changed: %s", a.cfg.Server, why), "", "")
	}
}

// reloadKeys takes gossip keys from disk that somebody edited there.
func (a *Agent) reloadKeys() error {
	keys, err := a.deps.Keys.Load()
	if err != nil || keys.Equal(a.keyring.keys) {
		return err
	}
	if a.keyring.writing {
		return fault.New(fault.Busy, "try again", "the gossip keys are being written")
	}
	return a.useKeys(keys)
}

// beginRotation makes a new key here; the others get it from what follows.
func (a *Agent) beginRotation(r control.KeyRequest, done func(error)) {
	keys := a.keyring.keys
	if len(keys) >= settings.MaxKeys {
		done(fault.New(fault.Refused, "remove those from gossip.key that are not needed, then mxcluster agent reload",
			"%d gossip keys are accepted already", len(keys)))
		return
	}
	key, err := settings.NewKey(rand.Reader, nextMade(time.Now(), keys))
	if err != nil {
		done(err)
		return
	}
	a.changeKeys(append(slices.Clone(keys), key), func(err error) {
		if err == nil {
			a.recordKey(slog.LevelInfo, "rotation", fmt.Sprintf("a rotation of the gossip key to %s was ordered", key.Fingerprint())+byWords(r.By, r.Reason), r.By, r.Reason)
		}
		done(err)
	})
}

// recordKeys notes what changed.
func (a *Agent) recordKeys(old, next settings.Keys) {
	for _, key := range next {
		if !old.Has(key) {
			a.recordKey(slog.LevelInfo, "accepted", fmt.Sprintf("%s accepts the gossip key %s", a.cfg.Server, key.Fingerprint()), "", "")
		}
	}
	if !next[0].Equal(old[0]) {
		a.recordKey(slog.LevelInfo, "used", fmt.Sprintf("%s uses the gossip key %s", a.cfg.Server, next[0].Fingerprint()), "", "")
	}
	for _, key := range old {
		if !next.Has(key) {
			a.recordKey(slog.LevelInfo, "removed", fmt.Sprintf("%s no longer accepts the gossip key %s", a.cfg.Server, key.Fingerprint()), "", "")
		}
	}
}

func (a *Agent) recordKey(level slog.Level, is, text, by, reason string) {
	a.record(level, events.Event{Kind: events.Key, Subject: a.cfg.Server, Is: is, By: by, Reason: reason, Text: text})
}
