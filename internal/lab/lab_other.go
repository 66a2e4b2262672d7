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
type Stdio struct {
	In, Out, Err *os.File
	Terminal     bool
	Env          []string
}

// DefaultDir returns the lab folder.
func DefaultDir() string { return filepath.Join(os.TempDir(), "mxcluster-lab") }

// Demo returns fault.Refused.
func Demo(context.Context, Options, bool, bool) error { return errOther() }

// Exec returns fault.Refused.
func Exec(context.Context, string, string, []string, Stdio) (int, error) { return 0, errOther() }

// RunServer returns fault.Refused.
func RunServer(context.Context, string, string) error { return errOther() }

// Scenario is what a host plays.
type Scenario struct{}

// DemoScenario returns an empty scenario.
func DemoScenario(io.Writer, bool) Scenario { return Scenario{} }

// ManagementScenario returns an empty scenario.
func ManagementScenario(io.Writer, bool) Scenario { return Scenario{} }

// PlayScenario returns an empty scenario.
func PlayScenario(io.Writer, UpOptions) Scenario { return Scenario{} }

// Up returns fault.Refused.
func Up(context.Context, UpOptions, io.Writer) (*State, bool, error) { return nil, false, errOther() }

// Keep returns fault.Refused.
func Keep(context.Context, UpOptions) error { return errOther() }

// Look returns fault.Refused.
func Look(context.Context, string) (*State, error) { return nil, errOther() }

// Fail returns fault.Refused.
func Fail(context.Context, string, string, Fault) (bool, error) { return false, errOther() }

// Heal returns fault.Refused.
func Heal(context.Context, string, string) ([]Fault, error) { return nil, errOther() }

// Down returns fault.Refused.
func Down(context.Context, string) (bool, bool, error) { return false, false, errOther() }

// Servers returns none.
func Servers(string) []string { return nil }

// Shell returns nil.
func Shell(string, bool) []string { return nil }

// Host is the first process of a lab.
type Host struct {
	Dir         string
	Out, Err    io.Writer
	KeepProgram bool
}

// Run returns fault.Refused.
func (Host) Run(context.Context, Scenario) error { return errOther() }

// Exchange is the software of a LIM in a lab.
type Exchange struct{}

// NewExchange returns one that does not run.
func NewExchange(string, func(string) string, *os.File) *Exchange { return &Exchange{} }

// Run returns fault.Refused.
func (*Exchange) Run(context.Context) error { return errOther() }
