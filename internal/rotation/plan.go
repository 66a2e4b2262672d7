package rotation

import (
	"cmp"
	"slices"
	"time"

	"mxcluster/internal/settings"
)

// Claim is what a server says of its gossip keys: their fingerprints, the one that
// it encrypts with first. What is claimed is on its disk.
type Claim struct {
	Accepted []string `json:"accepted"`
	Failed   string   `json:"failed,omitempty"` // why it could not keep what it was to
}

// Primary is the fingerprint of the key that a server encrypts with, "" if it said nothing.
func (c Claim) Primary() string {
	if len(c.Accepted) == 0 {
		return ""
	}
	return c.Accepted[0]
}

// Accepts reports whether a server accepts the key with a fingerprint.
func (c Claim) Accepts(fingerprint string) bool { return slices.Contains(c.Accepted, fingerprint) }

// Newest is the key that every server ends with. Of keys of one age, such as
// those that somebody wrote into the file, the first one counts.
func Newest(keys settings.Keys) settings.Key { return byAge(keys)[0] }

// byAge sorts keys, the newest first. Two that were made in the same second have an
// order all the same, for every server has to end with the same one.
func byAge(keys settings.Keys) settings.Keys {
	return slices.SortedStableFunc(slices.Values(keys), func(a, b settings.Key) int {
		if order := b.Made.Compare(a.Made); order != 0 || a.Made.IsZero() {
			return order
		}
		return cmp.Compare(b.Fingerprint(), a.Fingerprint())
	})
}

// Rotating reports whether a server holds keys that it is to give up for a newer one.
func Rotating(keys settings.Keys) bool { return len(keys) > 1 && !Newest(keys).Made.IsZero() }

// agreedKey is the newest key that every other server accepts, as far as all have said
// what they accept. Whatever is encrypted with it is understood by everybody.
func agreedKey(own settings.Keys, others map[string]Claim) (settings.Key, bool) {
	for _, key := range byAge(own) {
		if everybody(others, func(c Claim) bool { return c.Accepts(key.Fingerprint()) }) {
			return key, true
		}
	}
	return settings.Key{}, false
}

// plan is what a server holds next. It encrypts with the newest key that
// everybody accepts, and gives older ones up once everybody has encrypted with the
// newest for so long that nothing under them is on its way any more. Others are all
// other servers of the document; one that was not heard claims nothing, and so
// holds everything up.
func plan(own settings.Keys, others map[string]Claim, used time.Duration) settings.Keys {
	if agreed, ok := agreedKey(own, others); ok && !agreed.Equal(own[0]) {
		rest := slices.DeleteFunc(slices.Clone(own), agreed.Equal)
		return append(settings.Keys{agreed}, rest...)
	}
	if Rotating(own) && inUse(own, others) && used >= settleTime {
		return settings.Keys{Newest(own)}
	}
	return own
}

// inUse reports whether every server encrypts with the newest key.
func inUse(own settings.Keys, others map[string]Claim) bool {
	newest := Newest(own)
	return own[0].Equal(newest) && everybody(others, func(c Claim) bool { return c.Primary() == newest.Fingerprint() })
}

func everybody(others map[string]Claim, holds func(Claim) bool) bool {
	for _, c := range others {
		if !holds(c) {
			return false
		}
	}
	return true
}

// nextMade is when a new key counts as made: now, but after every key there is, even
// if the clock went back meanwhile.
func nextMade(now time.Time, keys settings.Keys) time.Time {
	now = now.UTC().Truncate(time.Second)
	if last := Newest(keys).Made; !now.After(last) {
		return last.Add(time.Second)
	}
	return now
}
