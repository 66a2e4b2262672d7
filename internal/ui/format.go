// Package ui is what people and scripts see of mxcluster: tables and the
// machine-readable formats on standard output, notes and questions on standard
// error and the terminal. It decides nothing.
package ui

import (
	"strings"

	"mxcluster/internal/fault"
)

// Format is one of the output formats of the contract.
type Format string

// The output formats. Table and Wide are for people, Name is one identifier a
// line, the others carry everything.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	YAML  Format = "yaml"
	CSV   Format = "csv"
	Name  Format = "name"
)

// Formats returns every output format, in the order in which help shows them.
func Formats() []string {
	return []string{string(Table), string(Wide), string(JSON), string(YAML), string(CSV), string(Name)}
}

// ParseFormat reads the value of --output. An unknown one is a usage error.
func ParseFormat(text string) (Format, error) {
	for _, f := range Formats() {
		if f == text {
			return Format(f), nil
		}
	}
	return "", fault.New(fault.Usage, "use one of "+strings.Join(Formats(), ", "), "unknown output format %q", text)
}
