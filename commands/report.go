package commands

import (
	"encoding/json"
	"fmt"
	"io"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// failure is the contract's JSON shape of an error.
type failure struct {
	Error struct {
		Code    fault.Code `json:"code"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	} `json:"error"`
}

// report tells an error: one line, and the remedy on a second one.
func report(w io.Writer, err error, asJSON bool) {
	message, hint := ui.OneLine(err.Error()), ui.OneLine(fault.HintOf(err))
	if asJSON {
		var f failure
		f.Error.Code, f.Error.Message, f.Error.Hint = fault.CodeOf(err), message, hint
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(f) // there is no further place to complain at
		return
	}
	_, _ = fmt.Fprintf(w, "mxcluster: %s\n", message)
	if hint != "" {
		_, _ = fmt.Fprintf(w, "%s\n", hint)
	}
}
