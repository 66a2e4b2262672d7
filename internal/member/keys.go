package member

import "mxcluster/internal/fault"

// SetKeys makes keys the ones that are accepted, and the first of them the one that
// is encrypted with from now on, heartbeats included. The pool goes on meanwhile.
// Errors: there is no key, or one has the wrong size (Invalid).
func (p *Pool) SetKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return err
	}
	return p.secure.setKeys(keys)
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
