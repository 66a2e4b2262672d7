package ui

import (
	"testing"

	"mxcluster/internal/fault"
)

func TestParseFormat(t *testing.T) {
	for _, want := range Formats() {
		if got, err := ParseFormat(want); err != nil || string(got) != want {
			t.Errorf("ParseFormat(%q) = %q, %v", want, got, err)
		}
	}
	for _, bad := range []string{"jsno", "", "JSON"} {
		_, err := ParseFormat(bad)
		hint := "use one of table, wide, json, yaml, csv, name"
		if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) != hint {
			t.Errorf("ParseFormat(%q): code %d, hint %q", bad, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}
