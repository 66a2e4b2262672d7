package settings

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/fault"
)

// keySize is that of AES-256, in bytes.
const keySize = 32

// MaxKeys is how many gossip keys a server may accept at once: the present one,
// its successor, and some room for rotations that were ordered at the same time.
const MaxKeys = 4

const (
	noKeyHint  = "the first server gets it by mxcluster init, every other one by mxcluster join ADDR --key-file FILE"
	badKeyHint = "copy the file from a server of the system, or on a new system remove it and run mxcluster init"
)

// Key is one gossip key.
type Key struct {
	Secret []byte    // 32 bytes: AES-256
	Made   time.Time // by the rotation that made it; zero for the first key of a system
}

// Keys are the gossip keys that a server accepts, the one that it encrypts with first.
type Keys []Key

// NewKey makes a gossip key of 32 bytes of random.
func NewKey(random io.Reader, made time.Time) (Key, error) {
	secret := make([]byte, keySize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return Key{}, fmt.Errorf("making a gossip key: %w", err)
	}
	return Key{Secret: secret, Made: made}, nil
}

// Valid reports whether the key has the right size.
func (k Key) Valid() bool { return len(k.Secret) == keySize }

// Fingerprint names the key to people and to other servers: 16 hexadecimal digits
// that tell nothing of it.
func (k Key) Fingerprint() string {
	sum := sha256.Sum256(append([]byte("mxcluster gossip key "), k.Secret...))
	return hex.EncodeToString(sum[:8])
}

// Equal reports whether two keys have the same secret, in constant time.
func (k Key) Equal(other Key) bool { return subtle.ConstantTimeCompare(k.Secret, other.Secret) == 1 }

// Has reports whether a key is among the keys.
func (k Keys) Has(key Key) bool { return slices.ContainsFunc(k, key.Equal) }

// Equal reports whether both are the same keys in the same order.
func (k Keys) Equal(other Keys) bool { return slices.EqualFunc(k, other, Key.Equal) }

// Secrets returns the keys as the cipher wants them, in order.
func (k Keys) Secrets() [][]byte {
	var out [][]byte
	for _, key := range k {
		out = append(out, key.Secret)
	}
	return out
}

// Fingerprints names the keys, in order.
func (k Keys) Fingerprints() []string {
	var out []string
	for _, key := range k {
		out = append(out, key.Fingerprint())
	}
	return out
}

// ParseKeys reads gossip keys as their file holds them, one a line: 32 bytes in
// base64, and, of a key that a rotation made, the time of that (RFC 3339). Empty
// lines are ignored. Anything else is fault.Invalid.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	text = bytes.TrimSpace(text)
	several := bytes.ContainsRune(text, '\n')
	for i, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == "" && several {
			continue
		}
		key, err := parseKey(line)
		switch {
		case err != nil && several:
			return nil, fault.Wrap(err, fault.Invalid, "", "line %d", i+1)
		case err != nil:
			return nil, err
		case keys.Has(key):
			return nil, fault.New(fault.Invalid, badKeyHint, "line %d: the gossip key is there twice", i+1)
		}
		keys = append(keys, key)
	}
	if len(keys) > MaxKeys {
		return nil, fault.New(fault.Invalid, badKeyHint, "there are %d gossip keys, more than %d", len(keys), MaxKeys)
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	text, made, _ := strings.Cut(strings.TrimSpace(line), " ")
	secret, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Key{}, fault.New(fault.Invalid, badKeyHint, "gossip key is not base64")
	}
	key := Key{Secret: secret}
	if !key.Valid() {
		return Key{}, fault.New(fault.Invalid, badKeyHint, "gossip key has %d bytes instead of %d", len(secret), keySize)
	}
	if made = strings.TrimSpace(made); made != "" {
		if key.Made, err = time.Parse(time.RFC3339, made); err != nil {
			return Key{}, fault.New(fault.Invalid, badKeyHint, "%q behind the gossip key is not a time", made)
		}
	}
	return key, nil
}

// format is the content of the file; see [ParseKeys].
func (k Keys) format() string {
	var b strings.Builder
	for _, key := range k {
		b.WriteString(base64.StdEncoding.EncodeToString(key.Secret))
		if !key.Made.IsZero() {
			b.WriteString(" " + key.Made.UTC().Format(time.RFC3339))
		}
		b.WriteString("\n")
	}
	return b.String()
}
