package manifest

import (
	"errors"
	"fmt"

	"mxcluster/internal/fault"
)

// ErrProtocol is the error for a peer that violates the protocol.
var ErrProtocol = errors.New("the other side does not keep to the protocol")

// Violation returns an error that wraps ErrProtocol.
func Violation(format string, args ...any) error {
	return fault.Wrap(ErrProtocol, fault.Failed, "run the same version of mxcluster on both servers",
		"%s", fmt.Sprintf(format, args...))
}
