package seal

import (
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// keyID tells the keys of a ring apart; it says nothing of the key.
type keyID [keyIDSize]byte

type key struct {
	id   keyID
	aead cipher.AEAD
}

// keyPurpose separates a key's identity from all else that is derived from it.
const keyPurpose = "mxcluster gossip key id\x00"

func newKey(secret []byte) (key, error) {
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return key{}, err
	}
	sum := sha256.Sum256(append([]byte(keyPurpose), secret...))
	return key{id: keyID(sum[:]), aead: aead}, nil
}

// SetKeys makes keys of 32 bytes the ones that open, and the first of them the
// one that seals. Peers that have proven their run stay proven.
func (b *Box) SetKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return errors.New("no key")
	}
	ring := make([]key, len(keys))
	for i, secret := range keys {
		k, err := newKey(secret)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		ring[i] = k
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring = ring
	return nil
}
