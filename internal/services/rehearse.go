package services

import (
	"context"
	"fmt"
	"time"
)

// Unconfinable returns a service of the set that is not started by this program and so cannot be
// confined in a rehearsal; "": none.
func (s Set) Unconfinable() string {
	for _, service := range s {
		if u, ok := service.(*unit); ok {
			return fmt.Sprintf("%s cannot be confined: systemd starts it", u)
		}
	}
	return ""
}

// Refusal returns why a set must not be started in a rehearsal; "": it may. The program of an exec:
// service is asked by the verb rehearse. If it does not know that verb, and for other kinds of
// services, allowed decides: the setting of the LIM.
func (s Set) Refusal(ctx context.Context, env Env, allowed bool) string {
	for _, service := range s {
		if x, ok := service.(*script); ok {
			switch x.mayRehearse(ctx, env) {
			case 0:
				continue
			case statusStopped:
				return fmt.Sprintf("%s says that it must not be started twice", x)
			}
		}
		if !allowed {
			return fmt.Sprintf("%s does not consent; 'mxcluster lim set %d --rehearsable' says that it may be", service, env.LIM)
		}
	}
	return ""
}

// mayRehearse asks the program and returns its exit status.
func (s *script) mayRehearse(ctx context.Context, env Env) int {
	return exitStatus(s.do(ctx, env, "rehearse", s.opt.CheckTimeout))
}

// RehearsalMark is a variable in the environment of all processes of this instance's rehearsals.
func (o Options) RehearsalMark() string { return "MXCLUSTER_REHEARSAL_OF=" + o.Instance }

// RunApart runs a program with one argument as LIM software is run: by systemd in a unit of its
// own, outside of the caller's sandbox, if systemd runs this server, else in a session of its own.
// Its environment has the mark of rehearsals, and vars. The error contains the last lines of the
// output.
func RunApart(ctx context.Context, opt Options, lim int, path, argument string, limit time.Duration, vars ...string) error {
	return runOutside(ctx, opt, lim, path, argument, limit, append(vars, opt.RehearsalMark()))
}

// RunOutside runs a program with one argument in the same way, of no LIM and without that mark.
func RunOutside(ctx context.Context, opt Options, path, argument string, limit time.Duration, vars ...string) error {
	return runOutside(ctx, opt, 0, path, argument, limit, vars)
}

func runOutside(ctx context.Context, opt Options, lim int, path, argument string, limit time.Duration, vars []string) error {
	p := program{spec: argument, opt: opt.withDefaults()}
	output, err := p.run(ctx, Env{LIM: lim}, programCall{path: path, verb: argument, limit: limit, vars: vars})
	if err != nil && output != "" {
		return fmt.Errorf("%w: %s", err, output)
	}
	return err
}
