package commands

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// failure is an error in JSON, by the contract.
type failure struct {
	Error struct {
		Code    fault.Code `json:"code"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	} `json:"error"`
}

// report shows an error on one line, and its remedy on a second one.
func report(w io.Writer, err error, asJSON bool) {
	message, hint := ui.OneLine(err.Error()), ui.OneLine(remedy(err))
	if asJSON {
		var f failure
		f.Error.Code, f.Error.Message, f.Error.Hint = fault.CodeOf(err), message, hint
		_ = ui.WriteLines(w, []failure{f}) // there is no other place to report it
		return
	}
	_, _ = fmt.Fprintf(w, "mxcluster: %s\n", message)
	if hint != "" {
		_, _ = fmt.Fprintf(w, "%s\n", hint)
	}
}

// remedy returns an error's remedy, or the one for its cause if that always needs the same.
func remedy(err error) string {
	switch hint := fault.HintOf(err); {
	case hint != "":
		return hint
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk, and try again"
	case errors.Is(err, syscall.EROFS):
		return "the disk can be read only: see in the kernel's log why, and mount it for writing"
	}
	return ""
}
