// Package fault classes errors by the exit codes that scripts rely on, and
// carries the remedy beside the message. Every package uses it, so that an
// error keeps its meaning from where it arises to the process's exit.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Code is a process exit code of the mxcluster contract.
type Code int

// The exit codes. Their meanings are fixed: scripts rely on them.
const (
	OK           Code = 0   // done, or already so
	Failed       Code = 1   // failed
	Refused      Code = 3   // a rule or precondition does not hold; nothing was changed
	NotFound     Code = 4   // no such cluster, LIM, server, version or alarm
	Unreachable  Code = 5   // agent or peer does not answer
	Busy         Code = 6   // locked by another, or changed meanwhile; try again
	Conflict     Code = 7   // data conflict, or content does not match its hash
	Unknown      Code = 8   // outcome unknown, or the wait ran out
	Usage        Code = 64  // wrong command line
	NotPermitted Code = 77  // not permitted
	Invalid      Code = 78  // cluster document or settings invalid
	Interrupted  Code = 130 // interrupted by a signal
)

// Error is an error with its exit code and, where there is one, the remedy.
type Error struct {
	Code    Code
	Message string // what went wrong, in lower case, one line
	Hint    string // what to do next; empty when there is no remedy to give
	Err     error  // cause; may be nil
}

// Error returns the message, followed by the cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Message
	case e.Message == "":
		return e.Err.Error()
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error with a code and a remedy. The hint may be empty.
func New(code Code, hint, format string, args ...any) error {
	return &Error{Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives err a code, a remedy and a message in front; nil stays nil.
func Wrap(err error, code Code, hint, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Hint: hint, Message: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf returns the exit code of err: that of the outermost Error in its
// chain, else one derived from well-known causes, else Failed. It is OK for nil
// alone: an Error without a code, as a message from another agent may hold, is
// still an error.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e) && e.Code != OK:
		return e.Code
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Unknown
	case errors.Is(err, fs.ErrPermission):
		return NotPermitted
	}
	return Failed
}

// HintOf returns the first remedy in err's tree, or "": the outermost goes
// first, and of errors that were joined the one that was named first.
func HintOf(err error) string {
	if e, ok := err.(*Error); ok && e.Hint != "" { //nolint:errorlint // the walk over the tree is this function's own
		return e.Hint
	}
	switch x := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return HintOf(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, each := range x.Unwrap() {
			if hint := HintOf(each); hint != "" {
				return hint
			}
		}
	}
	return ""
}
