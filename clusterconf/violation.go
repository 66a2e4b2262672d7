package clusterconf

import (
	"fmt"
	"strings"

	"mxcluster/internal/fault"
)

// Violation is one thing that is wrong in a cluster document.
type Violation struct {
	Path    string // where in the document, e.g. clusters[0].lims[2].priority; empty for the whole
	Line    int    // from 1; 0 when the document was not read from a file
	Column  int    // from 1; 0 when the document was not read from a file
	Rule    string // short identity of the rule, stable over releases
	Message string // what is wrong, in lower case, one line
	Hint    string // the remedy; may be empty
}

// ValidationError says all that is wrong in one document.
type ValidationError struct {
	File       string
	Violations []Violation // by line, never empty
}

// Error names the first violation as FILE:LINE:COLUMN: message, and how many more there are.
func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	v := e.Violations[0]
	if v.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", v.Line, v.Column)
	}
	b.WriteString(": " + v.Message)
	if more := len(e.Violations) - 1; more > 0 {
		fmt.Fprintf(&b, " (and %d more)", more)
	}
	return b.String()
}

// invalid turns violations into an error with code Invalid, whose hint is that
// of the first violation.
func invalid(file string, violations []Violation) error {
	return &fault.Error{
		Code: fault.Invalid,
		Hint: violations[0].Hint,
		Err:  &ValidationError{File: file, Violations: violations},
	}
}
