package control

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// arrive has a connection of a user come in, and tells whether it got a place.
func arrive(g *guests, uid uint32) (*conn, bool) {
	near, far := net.Pipe()
	c := &conn{Conn: near, peer: peer{uid: uid}}
	c.release = func() { g.leave(c); far.Close() }
	return c, g.admit(c)
}

func TestOneUserCannotHoldThePlacesOfOthers(t *testing.T) {
	var log bytes.Buffer
	g := &guests{log: slog.New(slog.NewTextHandler(&log, nil))}
	var first *conn
	for i := range maxOfUser {
		c, ok := arrive(g, 1000)
		if !ok {
			t.Fatalf("connection %d of the first user was refused", i+1)
		}
		if first == nil {
			first = c
		}
	}
	for range 100 {
		if _, ok := arrive(g, 1000); ok {
			t.Fatal("the first user got more than its places")
		}
	}
	if n := strings.Count(log.String(), "uid=1000"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
	if _, ok := arrive(g, 1001); !ok {
		t.Error("another user was refused")
	}
	first.Close()
	if _, ok := arrive(g, 1000); !ok {
		t.Error("the first user was refused after it had given a place back")
	}
}

func TestManyIdentitiesCannotHoldThePlacesEither(t *testing.T) {
	g := new(guests)
	var first *conn
	for uid := range uint32(maxGuests) {
		c, ok := arrive(g, 100000+uid)
		if !ok {
			t.Fatalf("identity %d was refused", uid)
		}
		if first == nil {
			first = c
		}
	}
	if _, ok := arrive(g, 1000); !ok {
		t.Error("a user with no place got none")
	}
	if _, err := first.Write([]byte("x")); err == nil {
		t.Error("the oldest connection was not closed for it")
	}
	if _, ok := arrive(g, 100001); ok {
		t.Error("one with a place took another's")
	}
	if len(g.held) != maxGuests {
		t.Errorf("%d places are held, want %d", len(g.held), maxGuests)
	}
}
