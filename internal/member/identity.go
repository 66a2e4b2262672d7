package member

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// identities are the TLS configurations that follow from a ring of gossip keys:
// whoever has a key of the ring proves it by the key pair that is derived from it.
// No authority signs anything, and no date counts.
type identities struct {
	own      tls.Certificate // of the first key
	accepted []ed25519.PublicKey
}

const identityPurpose = "mxcluster gossip identity"

func newIdentities(keys [][]byte) (*identities, error) {
	var id identities
	for i, secret := range keys {
		seed, err := hkdf.Key(sha256.New, secret, nil, identityPurpose, ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("deriving an identity from a gossip key: %w", err)
		}
		pair := ed25519.NewKeyFromSeed(seed)
		public, _ := pair.Public().(ed25519.PublicKey)
		id.accepted = append(id.accepted, public)
		if i > 0 {
			continue
		}
		if id.own, err = selfSigned(pair); err != nil {
			return nil, fmt.Errorf("making a certificate of a gossip key: %w", err)
		}
	}
	return &id, nil
}

// selfSigned wraps a key pair as TLS wants it.
func selfSigned(pair crypto.Signer) (tls.Certificate, error) {
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, pair.Public(), pair)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: pair}, err
}

// config serves both ends of a connection.
func (id *identities) config() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519},
		Certificates:           []tls.Certificate{id.own},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, //nolint:gosec // verify holds the other side to the ring, which is all that counts
		VerifyConnection:       id.verify,
		SessionTicketsDisabled: true,
	}
}

// verify accepts whoever has a key of the ring.
func (id *identities) verify(c tls.ConnectionState) error {
	if len(c.PeerCertificates) > 0 {
		theirs, ok := c.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
		if ok && slices.ContainsFunc(id.accepted, func(k ed25519.PublicKey) bool { return bytes.Equal(k, theirs) }) {
			return nil
		}
	}
	return errOtherKey
}

// Guard has both ends of a connection show that they have a key of the ring, and
// returns the connection to go on with. It ends with ctx. The client is who opened
// the connection.
type Guard func(ctx context.Context, conn net.Conn, keys [][]byte, client bool) (net.Conn, error)

// tlsGuard is the guard of real connections.
func tlsGuard(ctx context.Context, conn net.Conn, keys [][]byte, client bool) (net.Conn, error) {
	ids, err := newIdentities(keys)
	if err != nil {
		return nil, err
	}
	config := ids.config()
	refused := error(nil)
	config.VerifyConnection = func(c tls.ConnectionState) error {
		refused = ids.verify(c) // known before the other end has taken the goodbye
		return refused
	}
	c := tls.Server(conn, config)
	if client {
		c = tls.Client(conn, config)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, strangeness(cmp.Or(refused, err))
	}
	return stream{c, conn}, nil
}

// stream is a connection that is closed without a goodbye of TLS, which waits for
// the other end: every message in it says how long it is.
type stream struct {
	*tls.Conn
	beneath net.Conn
}

// Close closes the connection beneath.
func (s stream) Close() error { return s.beneath.Close() }

// strangeness says what a handshake that failed means.
func strangeness(err error) error {
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errOtherKey):
		return errOtherKey
	case errors.As(err, &record):
		return errNoAgent
	}
	return err
}
