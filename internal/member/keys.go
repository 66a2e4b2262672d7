package member

import (
	"bytes"
	"fmt"
	"slices"

	"mxcluster/internal/fault"
)

// SetKeys makes keys the ones that are accepted, and the first of them the one that
// is encrypted with from now on, heartbeats included. The pool goes on meanwhile.
// Errors: there is no key, or one has the wrong size (Invalid).
func (p *Pool) SetKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return err
	}
	for _, key := range keys {
		if err := p.ring.AddKey(key); err != nil {
			return fmt.Errorf("accepting a gossip key: %w", err)
		}
	}
	if err := p.ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("using a gossip key: %w", err)
	}
	return p.dropKeys(keys)
}

// dropKeys removes what is not among keys. Removing any but the last one would
// write into the list that others are reading (memberlist's GetKeys hands out its
// own); so everything behind the first one to go is removed, last first, and put
// back. A rotation removes all but the first, and puts nothing back.
func (p *Pool) dropKeys(keys [][]byte) error {
	has := p.ring.GetKeys()
	stays := func(key []byte) bool {
		return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	}
	gone := slices.IndexFunc(has, func(key []byte) bool { return !stays(key) })
	if gone < 0 {
		return nil
	}
	behind := slices.Clone(has[gone:])
	for _, key := range slices.Backward(behind) {
		if err := p.ring.RemoveKey(key); err != nil {
			return fmt.Errorf("removing a gossip key: %w", err)
		}
	}
	for _, key := range behind {
		if !stays(key) {
			continue
		}
		if err := p.ring.AddKey(key); err != nil {
			return fmt.Errorf("accepting a gossip key: %w", err)
		}
	}
	return nil
}

func checkKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return fault.New(fault.Invalid, "copy gossip.key from a server of the system", "there is no gossip key")
	}
	for _, key := range keys {
		if len(key) != keySize {
			return fault.New(fault.Invalid, "copy gossip.key from a server of the system", "gossip key has %d bytes, not %d", len(key), keySize)
		}
	}
	return nil
}
