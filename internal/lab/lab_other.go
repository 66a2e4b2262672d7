//go:build !linux

package lab

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"mxcluster/internal/fault"
)

// errOther says what this system lacks.
func errOther() error {
	return fault.New(fault.Refused, "run it on a Linux machine, a virtual one will do",
		"the lab is made of network namespaces, which the Linux kernel has; this is %s", runtime.GOOS)
}

// Options are for a demonstration.
type Options struct {
	Out, Err io.Writer
	Dir      string
}

// Stdio are the streams of a command on a server.
type Stdio struct{ In, Out, Err *os.File }

// DefaultDir returns the lab folder.
func DefaultDir() string { return filepath.Join(os.TempDir(), "mxcluster-lab") }

// Demo returns fault.Refused.
func Demo(context.Context, Options, bool) error { return errOther() }

// Exec returns fault.Refused.
func Exec(context.Context, string, string, []string, Stdio) (int, error) { return 0, errOther() }

// RunServer returns fault.Refused.
func RunServer(context.Context, string, string) error { return errOther() }

// Scenario is what a host plays.
type Scenario struct{}

// DemoScenario returns an empty scenario.
func DemoScenario(io.Writer, bool) Scenario { return Scenario{} }

// Host is the first process of a lab.
type Host struct {
	Dir      string
	Out, Err io.Writer
}

// Run returns fault.Refused.
func (Host) Run(context.Context, Scenario) error { return errOther() }

// Exchange is the software of a LIM in a lab.
type Exchange struct{}

// NewExchange returns one that does not run.
func NewExchange(string, func(string) string, *os.File) *Exchange { return &Exchange{} }

// Run returns fault.Refused.
func (*Exchange) Run(context.Context) error { return errOther() }
