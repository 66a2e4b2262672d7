// Package arbiter asks a third party who may run a LIM: etcd, where every LIM
// has a key that one server at a time can hold, and that goes away by itself
// when its holder does not renew it. It knows servers' names and LIMs' numbers,
// not clusters; who wants a key when is decided by packages failover and agent.
//
// What makes a key a proof: etcd never lets one go sooner than its time after
// the last renewal, counted from when that arrived; it may do so later, after an
// election for instance. Who counts from when the renewal was sent, and by a
// clock that nobody sets, is therefore always the first to see the end of it.
package arbiter

import (
	"errors"
	"time"
)

// ErrNoKey says that a key that was to be renewed is not there any more, or is
// another server's: its time ran out, or somebody deleted it.
var ErrNoKey = errors.New("the key is not held any more")

// Key is who holds a LIM, as the arbiter says it.
type Key struct {
	Server string    `json:"server"` // "": nobody
	Term   uint64    `json:"term"`   // of the start that it was taken for
	Since  time.Time `json:"since"`  // when it was taken, by that server's clock
	Lease  int64     `json:"-"`      // number of the lease that it goes away with
}
