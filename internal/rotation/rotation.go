// Package rotation replaces the gossip key of a system. A rotation has no leader and no state
// but the keys themselves: every server says which it accepts, and does what follows from
// what all say. So it goes on whoever dies, and two that were ordered at once end in one.
package rotation

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
)

const (
	settleTime = 2 * time.Second // how long a key is used by everybody before older ones go
	mostSends  = 32              // servers that a new key is sent to at a time
)

// File keeps this server's gossip keys (package settings).
type File interface {
	Load() (settings.Keys, error)
	Replace(old, keys settings.Keys) error // durable when it returns
}

// Disk is the file of the gossip keys; see [File].
type Disk struct{ Path string }

// Load reads the keys.
func (d Disk) Load() (settings.Keys, error) { return settings.LoadKeys(d.Path) }

// Replace makes keys durable in the place of old ones.
func (d Disk) Replace(old, keys settings.Keys) error {
	return settings.ReplaceKeys(d.Path, old, keys)
}

// Config is what a ring works with. Record notes what happened; what takes time is done by
// Beside, which calls done on the loop that the ring belongs to.
type Config struct {
	Server string // this one
	File   File
	Use    func(keys settings.Keys) error // puts keys into force
	Beside func(work func() error, done func(error))
	Record func(level slog.Level, is, text string)
	Log    *slog.Logger
}

// Ring is the gossip keys of this server, in force and on disk. It belongs to one loop.
type Ring struct {
	Config
	keys    settings.Keys
	writing bool      // beside the loop
	failed  string    // why keys could not be kept here
	used    time.Time // since when every server uses the newest one; zero: not so
}

// Message carries a key to a server that lacks it.
type Message struct {
	Secret []byte    `json:"secret"`
	Made   time.Time `json:"made"`
}

// New returns the keys on disk as a ring.
func New(c Config) (*Ring, error) {
	keys, err := c.File.Load()
	return &Ring{Config: c, keys: keys}, err
}

// Keys returns the keys in force.
func (r *Ring) Keys() settings.Keys { return r.keys }

// Claim is what this server says of its keys.
func (r *Ring) Claim() *Claim {
	return &Claim{Accepted: r.keys.Fingerprints(), Failed: r.failed}
}

// Turn does the next step of a rotation, if there is one to do. Others are what all other
// servers of the document say; one that was not heard claims nothing.
func (r *Ring) Turn(now time.Time, others map[string]Claim) {
	if !inUse(r.keys, others) {
		r.used = time.Time{}
	} else if r.used.IsZero() {
		r.used = now
	}
	var used time.Duration
	if !r.used.IsZero() {
		used = now.Sub(r.used)
	}
	if next := plan(r.keys, others, used); !next.Equal(r.keys) {
		r.change(next, func(error) {})
	}
}

// Spread returns the newest key and the servers that are to be sent it now: those that live
// and lack it. Servers are all of the document in order; of those who could send, the first does.
func (r *Ring) Spread(servers []string, alive func(server string) bool, others map[string]Claim) (m *Message, to []string) {
	newest := Newest(r.keys)
	print := newest.Fingerprint()
	for _, s := range servers {
		if s == r.Server {
			break
		}
		if alive(s) && others[s].Accepts(print) {
			return nil, nil
		}
	}
	for _, s := range servers {
		c, other := others[s]
		if other && len(to) < mostSends && !c.Accepts(print) && alive(s) {
			to = append(to, s)
		}
	}
	return &Message{newest.Secret, newest.Made}, to
}

// Heard accepts a key that another server of the system has.
func (r *Ring) Heard(from string, m Message) {
	key := settings.Key{Secret: m.Secret, Made: m.Made.UTC().Truncate(time.Second)}
	switch {
	case !key.Valid() || key.Made.IsZero():
		r.Log.Warn("ignoring a gossip key that cannot be one", "from", from, "bytes", len(m.Secret))
	case r.keys.Has(key):
	case len(r.keys) >= settings.MaxKeys:
		r.fail(fmt.Errorf("%d gossip keys are accepted already; nobody can have ordered more rotations", len(r.keys)))
	default:
		r.change(append(slices.Clone(r.keys), key), func(error) {})
	}
}

// change makes keys durable beside the loop, and then puts them into force; done is told
// what came of it. One change is made at a time: what is dropped here is found to be due again.
func (r *Ring) change(next settings.Keys, done func(error)) {
	if r.writing {
		done(errWriting())
		return
	}
	r.writing = true
	old := r.keys
	r.Beside(func() error { return r.File.Replace(old, next) }, func(err error) {
		r.writing = false
		if err == nil {
			err = r.use(next)
		} else {
			r.fail(err)
		}
		done(err)
	})
}

func errWriting() error {
	return fault.New(fault.Busy, "try again", "the gossip keys are being written")
}

// use puts keys into force that are on disk.
func (r *Ring) use(next settings.Keys) error {
	if err := r.Use(next); err != nil {
		r.fail(err)
		return err
	}
	old := r.keys
	r.keys, r.failed = next, ""
	r.recordChange(old, next)
	return nil
}

func (r *Ring) fail(err error) {
	if why := err.Error(); why != r.failed {
		r.failed = why
		r.Record(slog.LevelError, "failed", fmt.Sprintf("the gossip keys of %s could not be changed: %s", r.Server, why))
	}
}

// Reload takes gossip keys from disk that somebody edited there.
func (r *Ring) Reload() error {
	keys, err := r.File.Load()
	if err != nil || keys.Equal(r.keys) {
		return err
	}
	if r.writing {
		return errWriting()
	}
	return r.use(keys)
}

// Begin makes a new key here; the others get it from what follows. Done is told its
// fingerprint, or why there is none.
func (r *Ring) Begin(now time.Time, done func(fingerprint string, err error)) {
	if len(r.keys) >= settings.MaxKeys {
		done("", fault.New(fault.Refused, "remove those from gossip.key that are not needed, then mxcluster agent reload",
			"%d gossip keys are accepted already", len(r.keys)))
		return
	}
	key, err := settings.NewKey(rand.Reader, nextMade(now, r.keys))
	if err != nil {
		done("", err)
		return
	}
	r.change(append(slices.Clone(r.keys), key), func(err error) { done(key.Fingerprint(), err) })
}

// recordChange notes what changed.
func (r *Ring) recordChange(old, next settings.Keys) {
	for _, key := range next {
		if !old.Has(key) {
			r.Record(slog.LevelInfo, "accepted", fmt.Sprintf("%s accepts the gossip key %s", r.Server, key.Fingerprint()))
		}
	}
	if !next[0].Equal(old[0]) {
		r.Record(slog.LevelInfo, "used", fmt.Sprintf("%s uses the gossip key %s", r.Server, next[0].Fingerprint()))
	}
	for _, key := range old {
		if !next.Has(key) {
			r.Record(slog.LevelInfo, "removed", fmt.Sprintf("%s no longer accepts the gossip key %s", r.Server, key.Fingerprint()))
		}
	}
}
