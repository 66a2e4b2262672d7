package member

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"mxcluster/internal/fault"
)

// errOtherKey is a server's answer that this server's key cannot open.
var errOtherKey = errors.New("it has another gossip key")

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
	if errors.Is(err, errOtherKey) {
		hint = "copy gossip.key from a server of the system to this one"
	}
	return 0, &fault.Error{Code: fault.Unreachable, Hint: hint, Err: err}
}

// joinCause puts memberlist's error, a list over several lines whose causes
// are text only, into one line.
func joinCause(err error) error {
	if strings.Contains(err.Error(), "no installed keys could decrypt") {
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
