// Package services starts, stops, checks and reloads the software of a LIM.
// A LIM's software is a [Set]: services started in order and stopped in
// reverse. A service is named by a SPEC of the contract, such as
// exec:/opt/lim/service, and learns from its environment which LIM it is,
// under which alias, in what role, and where its data lies.
package services

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// Env is what a service is told about the LIM it belongs to. Every call gets
// it anew, for the role and the data change while the service stays the same.
type Env struct {
	LIM    int        // number of the LIM
	Alias  netip.Addr // address that clients use; the zero Addr when there is none
	Server string     // name of the server the service runs on
	Role   string     // "active", or "passive" on the preloaded side (spec ch. 4)
	XData  string     // folder of the newest complete data version; "" when there is none

	Gateways []string                 // media gateways that go with the LIM
	Media    *clusterconf.MediaServer // nil: none

	Rehearsal bool // it is a trial, beside the LIM that serves

	// Tell is told what people should know of a call that succeeded, such as that
	// a stop had to end what it left; nil: nobody is.
	Tell func(text string)
}

func (e Env) tell(text string) {
	if e.Tell != nil {
		e.Tell(text)
	}
}

// Variables returns the environment variables of the contract, as NAME=value, and
// those of the media server and the gateways where the LIM has them.
func (e Env) Variables() []string {
	vars := []string{
		"MXCLUSTER_LIM=" + strconv.Itoa(e.LIM),
		"MXCLUSTER_ALIAS=" + e.alias(),
		"MXCLUSTER_SERVER=" + e.Server,
		"MXCLUSTER_ROLE=" + e.Role,
		"MXCLUSTER_XDATA=" + e.XData,
	}
	if len(e.Gateways) > 0 {
		vars = append(vars, "MXCLUSTER_GATEWAYS="+strings.Join(e.Gateways, " "))
	}
	if m := e.Media; m != nil {
		vars = append(vars, "MXCLUSTER_MEDIA_SERVER="+string(m.Kind), "MXCLUSTER_MEDIA_ADDRESS="+m.Media.String(), "MXCLUSTER_CONTROL_ADDRESS="+m.Control.String())
	}
	if e.Rehearsal {
		vars = append(vars, "MXCLUSTER_REHEARSAL=1")
	}
	return vars
}

// fill replaces {lim} and {alias} in a SPEC.
func (e Env) fill(spec string) string {
	return strings.NewReplacer("{lim}", strconv.Itoa(e.LIM), "{alias}", e.alias()).Replace(spec)
}

// alias is empty for no address, where netip would say "invalid IP".
func (e Env) alias() string {
	if !e.Alias.IsValid() {
		return ""
	}
	return e.Alias.String()
}

// State is what a service says of itself.
type State string

// The states of a service.
const (
	Running State = "running"
	Stopped State = "stopped"
	Failed  State = "failed"  // neither runs nor is properly stopped
	Unknown State = "unknown" // it cannot be seen: who would tell does not answer
)

// Service is one piece of a LIM's software. Every call blocks until the work
// is done, has failed, has exceeded its time limit, or ctx has ended.
type Service interface {
	// Start brings the service up; one that runs already is left as it is.
	Start(ctx context.Context, env Env) error
	// Stop brings the service down; one that is stopped is no error.
	Stop(ctx context.Context, env Env) error
	// Check asks for the state. An error comes with Failed and Unknown only, and
	// explains it.
	Check(ctx context.Context, env Env) (State, error)
	// Reload makes a running service read its data again.
	Reload(ctx context.Context, env Env) error
	// String returns the SPEC as configured, with {lim} and {alias} unfilled.
	String() string
}

// Default time limits of the calls, and how long a call that exceeded its
// limit has, between being asked and being made to end.
const (
	DefaultStartTimeout = 30 * time.Second
	DefaultStopTimeout  = 30 * time.Second
	DefaultCheckTimeout = 10 * time.Second
	DefaultGrace        = 2 * time.Second
)

// Options are the limits of every call. A zero value means the default.
type Options struct {
	StartTimeout time.Duration // start and reload
	StopTimeout  time.Duration
	CheckTimeout time.Duration
	Grace        time.Duration // from SIGTERM to SIGKILL after a limit was exceeded
	OCFRoot      string        // where resource agents are
	Instance     string        // tells this program from others on the machine with the same LIMs: its state folder
	RunDir       string        // gets files for the time of a call, of which others read nothing; "": that of temporary files
	Systemd      Systemd
	Untrusted    bool         // programs that other users may change are run all the same
	OwnUser      string       // the user that this process is, where it is the agent's own in place of root; "": it is not
	Log          *slog.Logger // gets what services print; nil: nobody
}

// withDefaults replaces what was left open.
func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&o.StartTimeout, DefaultStartTimeout},
		{&o.StopTimeout, DefaultStopTimeout},
		{&o.CheckTimeout, DefaultCheckTimeout},
		{&o.Grace, DefaultGrace},
	} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	if o.OCFRoot == "" {
		o.OCFRoot = DefaultOCFRoot
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const specHint = "use systemd:UNIT, ocf:PROVIDER:AGENT[,KEY=VALUE]... or exec:/PATH"

// Parse reads a SPEC. The error of one that is none has code fault.Usage.
// Whether what it names is installed shows when it is called.
func Parse(spec string, opt Options) (Service, error) {
	scheme, rest, _ := strings.Cut(spec, ":")
	opt = opt.withDefaults()
	printable := !strings.ContainsRune(spec, 0)
	switch {
	case scheme == "exec" && printable && filepath.IsAbs(rest) && filepath.Clean(rest) == rest && rest != "/":
		return &script{program: program{spec, opt}, path: rest}, nil
	case scheme == "systemd" && printable && fileName(strings.ReplaceAll(rest, ":", "-")):
		return newUnit(spec, rest, opt), nil
	case scheme == "ocf" && printable:
		if o, ok := parseOCF(rest); ok {
			o.program = program{spec, opt}
			return &o, nil
		}
	}
	return nil, fault.New(fault.Usage, specHint, "service %q: not a service specification", spec)
}
