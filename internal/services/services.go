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

// Env describes the LIM to a service. Each call gets it, as role and data change.
type Env struct {
	LIM    int        // number of the LIM
	Alias  netip.Addr // address that clients use; the zero Addr when there is none
	Server string     // name of the server the service runs on
	Role   string     // "active", or "passive" on the preloaded side (spec ch. 4)
	XData  string     // folder of the newest complete data version; "" when there is none

	Gateways []string                 // media gateways of the LIM
	Media    *clusterconf.MediaServer // nil: none

	Rehearsal bool // a rehearsal, while the LIM is active elsewhere

	// Tell receives what is worth knowing of a successful call, such as that a stop had to kill
	// leftover processes; may be nil.
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

// alias returns "" for no address, for which netip prints "invalid IP".
func (e Env) alias() string {
	if !e.Alias.IsValid() {
		return ""
	}
	return e.Alias.String()
}

// State is the state of a service by its own report.
type State string

// The states of a service.
const (
	Running State = "running"
	Stopped State = "stopped"
	Failed  State = "failed"  // neither runs nor is properly stopped
	Unknown State = "unknown" // not visible: systemd or the program does not answer
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

// Default time limits of calls, and of the time between SIGTERM and SIGKILL.
const (
	DefaultStartTimeout = 30 * time.Second
	DefaultStopTimeout  = 30 * time.Second
	DefaultCheckTimeout = 10 * time.Second
	DefaultGrace        = 2 * time.Second
)

// Options configure every call. A zero value means the default.
type Options struct {
	StartTimeout time.Duration // start and reload
	StopTimeout  time.Duration
	CheckTimeout time.Duration
	Grace        time.Duration // from SIGTERM to SIGKILL after a limit was exceeded
	OCFRoot      string        // where resource agents are
	Instance     string        // ID of this instance on a machine where several have the same LIMs: its state folder
	RunDir       string        // folder for temporary files that only root reads; "": the system's
	Systemd      Systemd
	Untrusted    bool         // run programs that other users may change
	OwnUser      string       // the user of this process, if the agent has one of its own; "": root
	Log          *slog.Logger // receives the output of services; nil: it is dropped
}

// withDefaults fills in the defaults.
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

// Parse parses a SPEC. An invalid one is fault.Usage. Whether the service is installed shows when
// it is called.
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
