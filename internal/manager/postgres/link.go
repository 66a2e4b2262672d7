package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"mxcluster/internal/manager"
)

const (
	answerLimit  = 2 * time.Second  // of a question to this server's PostgreSQL
	replayLimit  = 10 * time.Second // how long what another server gave up may take to be replayed
	promoteLimit = 30 * time.Second
	pollEvery    = 2 * time.Millisecond
)

// Link asks this server's half of the pair, and has it accept writes, over a login that stays
// open: as the replication role, by the socket. It may be used by one caller at a time.
type Link struct {
	Place Place

	mu   sync.Mutex
	open *session
}

// Look tells how PostgreSQL stands.
func (k *Link) Look(ctx context.Context) manager.Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.Place.own()
	switch {
	case err != nil:
		return manager.Report{SetUp: l != nil, Problem: err.Error()}
	case l == nil:
		k.drop()
		return manager.Report{}
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if !l.signalled() { // a set-up that has not come to its end
		return manager.Report{}
	}
	r, err := k.ask(ctx, l)
	r.SetUp = true
	if err != nil {
		r.Problem = plain(err)
		_, gone := findPostmaster(l.data)
		r.Unclear = gone == nil
	}
	return r
}

// ask asks over the login that is open, or over a new one.
func (k *Link) ask(ctx context.Context, l *local) (manager.Report, error) {
	if k.open != nil {
		if r, err := k.open.standing(ctx); err == nil {
			return r, nil
		}
		k.drop()
	}
	if err := k.login(ctx, l); err != nil {
		return manager.Report{}, err
	}
	return k.open.standing(ctx)
}

func (k *Link) login(ctx context.Context, l *local) error {
	m, err := findPostmaster(l.data)
	if err != nil {
		return err
	}
	password, err := l.password()
	if err != nil {
		return err
	}
	k.open, err = login(ctx, m.socket, l.User, password)
	return err
}

func (k *Link) drop() {
	if k.open != nil {
		k.open.end()
		k.open = nil
	}
}

// Promote has PostgreSQL accept writes, once it has replayed what is given; zero: nothing is
// waited for. It returns as soon as it does.
func (k *Link) Promote(ctx context.Context, after manager.Position) (manager.Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, promoteLimit)
	defer cancel()
	l, err := k.Place.own()
	if err != nil {
		return manager.Report{}, err
	}
	if l == nil {
		return manager.Report{}, errors.New("nothing is set up on this server")
	}
	r, err := k.ask(ctx, l)
	if err != nil || r.Writes {
		r.SetUp = true
		return r, err
	}
	if err := l.unfit(); err != nil {
		return manager.Report{SetUp: true}, err
	}
	if err := k.replay(ctx, after); err != nil {
		return r, err
	}
	if _, err := k.open.Exec(ctx, "select pg_promote(false)"); err != nil {
		return r, err
	}
	for {
		if r, err = k.ask(ctx, l); err != nil || r.Writes {
			r.SetUp = true
			return r, err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return r, fmt.Errorf("waiting for PostgreSQL to accept writes: %w", err)
		}
	}
}

// replay waits until the checkpoint with which the other server ended has been replayed.
func (k *Link) replay(ctx context.Context, after manager.Position) error {
	if after.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	for {
		var text string
		if err := k.open.QueryRow(ctx, "select coalesce(pg_last_wal_replay_lsn(), '0/0')::text").Scan(&text); err != nil {
			return err
		}
		at, err := manager.ParseLSN(text)
		if err != nil || at > after.LSN {
			return err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("the other server ended at %s, and the data here end at %s: %w", after.LSN, at, err)
		}
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func encode(h manager.Half) ([]byte, error) { return json.MarshalIndent(h, "", "  ") }
