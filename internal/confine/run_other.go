//go:build !linux

package confine

import (
	"context"
	"errors"
	"io"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/rehearsal"
)

var errOther = errors.New("only Linux can confine software")

// Run skips the rehearsal.
func Run(context.Context, rehearsal.Spec, string) failover.Rehearsal {
	return failover.Rehearsal{At: time.Now().UTC(), Result: failover.RehearsalSkipped, Text: errOther.Error()}
}

// First is not there.
func First(io.Reader, io.Writer, io.Writer, string) error { return errOther }
