package membernet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
)

const keySize = 32

var errOtherKey = errors.New("it has another gossip key")

// ShowKeys is a guard of connections in memory: both ends show the first key of their
// rings as it is. Simulations of days would spend most of their time on real ones.
func ShowKeys(ctx context.Context, conn net.Conn, keys [][]byte, client bool) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	theirs := make([]byte, keySize)
	show := func() error { _, err := conn.Write(keys[0]); return err }
	look := func() error { _, err := io.ReadFull(conn, theirs); return err }
	steps := []func() error{look, show}
	if client {
		steps = []func() error{show, look}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, theirs) }) {
		return nil, errOtherKey
	}
	return conn, nil
}
