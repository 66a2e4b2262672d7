package member

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"mxcluster/internal/fault"
)

// What a server is that does not let this one in.
var (
	errOtherKey = errors.New("it has another gossip key")
	errNoAgent  = errors.New("what listens there is no agent of this version")
)

// refusedKey is how TLS words that the other side does not accept a key.
const refusedKey = "tls: bad certificate"

// Join tries to reach servers by address; it returns how many answered, and an
// error (Unreachable, with a hint) if none did. It blocks for up to the stream
// timeout of 2 s for each that does not.
func (p *Pool) Join(addrs ...netip.AddrPort) (int, error) {
	joined := 0
	var failed []error
	for _, a := range addrs {
		n, err := p.list.Join([]string{a.String()})
		joined += n
		if err != nil {
			failed = append(failed, fmt.Errorf("joining %s: %w", a, joinCause(err)))
		}
	}
	if joined > 0 || len(failed) == 0 {
		return joined, nil
	}
	err := failed[0] // one line: the first stands for the rest
	hint := "check that the agent there runs, and that the address is that server's base address"
	switch {
	case errors.Is(err, errOtherKey):
		hint = "copy gossip.key from a server of the system to this one"
	case errors.Is(err, errNoAgent):
		hint = "check the address, the setting gossip.port on both servers, and that both run the same version"
	}
	return 0, &fault.Error{Code: fault.Unreachable, Hint: hint, Err: err}
}

// joinCause puts memberlist's error, a list over several lines whose causes
// are text only, into one line.
func joinCause(err error) error {
	for _, cause := range []error{errOtherKey, errNoAgent} {
		if strings.Contains(err.Error(), cause.Error()) {
			return cause
		}
	}
	if strings.Contains(err.Error(), refusedKey) {
		return errOtherKey
	}
	var list interface{ WrappedErrors() []error }
	if errors.As(err, &list) && len(list.WrappedErrors()) > 0 {
		err = list.WrappedErrors()[0]
	}
	_, cause, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err
	}
	return errors.New(cause)
}
