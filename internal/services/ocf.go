package services

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/trusted"
)

// ocf is an ocf: service: a resource agent of the Open Cluster Framework, as
// Debian's package resource-agents has them.
type ocf struct {
	program
	provider, agent string
	params          []ocfParam
}

// ocfParam is one parameter of a resource agent.
type ocfParam struct{ key, value string }

// DefaultOCFRoot is where resource agents are installed.
const DefaultOCFRoot = "/usr/lib/ocf"

// The exit codes of the resource agent API, version 1.1.
const (
	ocfUnimplemented   = 3
	ocfNotRunning      = 7
	ocfRunningPromoted = 8
)

// ocfMeanings are the other exit codes, in the API's words.
var ocfMeanings = [...]string{
	1: "generic error", 2: "a parameter is not valid", ocfUnimplemented: "action not implemented", 4: "permission denied",
	5: "what it needs is not installed", 6: "a parameter does not fit this server", ocfNotRunning: "not running",
	ocfRunningPromoted: "running, promoted", 9: "failed, promoted",
}

// parseOCF reads PROVIDER:AGENT[,KEY=VALUE]...
func parseOCF(rest string) (o ocf, ok bool) {
	parts := strings.Split(rest, ",")
	provider, agent, _ := strings.Cut(parts[0], ":")
	if !fileName(provider) || !fileName(agent) {
		return o, false
	}
	o.provider, o.agent = provider, agent
	for _, p := range parts[1:] {
		key, value, ok := strings.Cut(p, "=")
		if !ok || !variableName(key) {
			return o, false
		}
		o.params = append(o.params, ocfParam{key, value})
	}
	return o, true
}

// fileName reports whether a text names a file in a folder, and nothing else.
func fileName(text string) bool {
	return text != "" && text != "." && text != ".." && !strings.ContainsAny(text, "/: \t\n")
}

// variableName reports whether a text is valid in a variable's name.
func variableName(text string) bool {
	for _, r := range text {
		if r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return text != "" && (text[0] < '0' || text[0] > '9')
}

// Start starts the resource unless it runs.
func (o *ocf) Start(ctx context.Context, env Env) error {
	return adopt(ctx, o, env, func() error { return o.do(ctx, env, verbStart, o.opt.StartTimeout) })
}

// Stop stops the resource; resource agents succeed if it is stopped already. Processes left by a
// successful stop are kept: resource agents start helpers that others use, too.
func (o *ocf) Stop(ctx context.Context, env Env) error {
	err := o.do(ctx, env, "stop", o.opt.StopTimeout)
	if err == nil || neverRan(err) {
		return err
	}
	return o.stopped(env, err, func() (State, error) { return o.Check(ctx, env) })
}

// Check maps the exit code of monitor to a state.
func (o *ocf) Check(ctx context.Context, env Env) (State, error) {
	err := o.do(ctx, env, "monitor", o.opt.CheckTimeout)
	if unclear(err) {
		return Unknown, err
	}
	switch exitStatus(err) {
	case 0, ocfRunningPromoted:
		return Running, nil
	case ocfNotRunning:
		return Stopped, nil
	}
	return Failed, err
}

// Reload calls the agent's reload. For the many agents without one the resource is restarted, as it
// must read its data again.
func (o *ocf) Reload(ctx context.Context, env Env) error {
	err := unlessLost(ctx, o, env, o.do(ctx, env, verbReload, o.opt.StartTimeout))
	if exitStatus(err) != ocfUnimplemented {
		return err
	}
	if err := o.Stop(ctx, env); err != nil {
		return err
	}
	return unlessLost(ctx, o, env, o.do(ctx, env, verbStart, o.opt.StartTimeout))
}

func (o *ocf) String() string { return o.spec }

func (o *ocf) do(ctx context.Context, env Env, action string, limit time.Duration) error {
	if err := o.lookFor(action, o.path()); err != nil {
		return err
	}
	vars, err := o.variables(env, limit)
	if err != nil {
		return fmt.Errorf("%s service %s: %w", action, o.spec, noProgramError{unaskedError{err}})
	}
	return o.call(ctx, env, programCall{path: o.path(), verb: action, asks: action == "monitor" || action == "validate-all", limit: limit, vars: vars, means: ocfMeaning})
}

// lookFor checks that the resource agent exists and can be run.
func (o *ocf) lookFor(action, path string) error {
	err := o.runnable(path)
	if fault.CodeOf(err) == fault.NotFound && err != nil {
		if _, statErr := os.Stat(path); os.IsNotExist(statErr) {
			err = fault.New(fault.NotFound, "install it (on Debian: apt install resource-agents), or correct the SPEC with 'mxcluster lim set'",
				"there is no resource agent %s", path)
		}
	}
	if err != nil {
		return fmt.Errorf("%s service %s: %w", action, o.spec, noProgramError{err})
	}
	return nil
}

func ocfMeaning(status int) string {
	if status < len(ocfMeanings) {
		return ocfMeanings[status]
	}
	return ""
}

// variables returns the environment of the resource agent API.
func (o *ocf) variables(env Env, limit time.Duration) ([]string, error) {
	vars := []string{
		"OCF_ROOT=" + o.opt.OCFRoot,
		"OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE=" + o.instance(env),
		"OCF_RESOURCE_PROVIDER=" + o.provider,
		"OCF_RESOURCE_TYPE=" + o.agent,
		"OCF_RESKEY_CRM_meta_timeout=" + strconv.FormatInt(limit.Milliseconds(), 10),
	}
	for _, p := range o.params {
		value, err := p.read(env)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.key, err)
		}
		vars = append(vars, "OCF_RESKEY_"+p.key+"="+value)
	}
	return vars, nil
}

// read returns the value for a call: as written, or, for file:/PATH, the content of the file, so
// that no secret is in the document.
func (p ocfParam) read(env Env) (string, error) {
	value := env.fill(p.value)
	if path, ok := strings.CutPrefix(value, "file:"); ok && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		return trusted.Secret(path)
	}
	return value, nil
}

// instance names the resource for the agent, which keeps state under it. It is unique for LIM,
// server of the machine, and parameters.
func (o *ocf) instance(env Env) string {
	sum := fnv.New32a()
	sum.Write([]byte(o.spec))
	return fmt.Sprintf("mxcluster-%s-lim%d-%s-%08x", env.Server, env.LIM, o.agent, sum.Sum32())
}
