package services

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"mxcluster/clusterconf"
)

// abilityCheck is a program that tells whether this server is fit to run a LIM.
type abilityCheck struct {
	program
	path string // as configured, without its scheme
}

// Ability runs the checks of a LIM, one after the other. It returns the output of the first one
// that failed, or else why one could not be run, which says nothing about this server; both "": all
// passed, or there are none.
func Ability(ctx context.Context, l *clusterconf.LIM, env Env, opt Options) (failed, unknown string) {
	opt = opt.withDefaults()
	for _, spec := range l.Checks {
		c := abilityCheck{program{"check " + spec, opt}, strings.TrimPrefix(spec, "exec:")}
		why, err := c.ask(ctx, env)
		switch path := env.fill(c.path); {
		case err != nil:
			unknown = cmp.Or(unknown, fmt.Sprintf("check %s cannot be run: %v", path, err))
		case why != "":
			return fmt.Sprintf("check %s: %s", path, why), ""
		}
	}
	return "", unknown
}

// ask runs the check. It fails by its exit status or by its time limit, at which all processes that
// it started are ended.
func (c *abilityCheck) ask(ctx context.Context, env Env) (failed string, err error) {
	path := env.fill(c.path)
	if err := c.runnable(path); err != nil {
		return "", err
	}
	output, err := c.run(ctx, env, programCall{path: path, verb: "check", plain: true, asks: true, limit: c.opt.CheckTimeout})
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case hung(err):
		if _, left := endOwned(c.owner(env), c.opt.Grace); left != nil {
			c.opt.Log.Warn("ending what a check left", "check", path, "err", left)
		}
		if output != "" {
			return fmt.Sprintf("%v: %s", err, output), nil
		}
	case unclear(err), neverRan(err):
		return "", err
	}
	return cmp.Or(output, err.Error()), nil
}
