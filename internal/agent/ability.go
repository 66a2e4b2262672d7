package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

// abilities is the fitness of this server for each LIM, by the LIMs' check programs. It is owned by
// the main loop; the programs run beside it.
type abilities struct {
	*core
	lims *lims
	all  map[int]*ability // by LIM; those that have checks
}

// ability is the result of one LIM's checks.
type ability struct {
	failover.Fitness
	checks []string  // the checks that it is the result of
	at     time.Time // start of the last run; zero: there was none
	busy   bool      // a run is in progress
}

// of returns the fitness of this server for a LIM.
func (a *abilities) of(lim int) failover.Fitness {
	if x := a.all[lim]; x != nil {
		return x.Fitness
	}
	return failover.Fitness{}
}

// look starts the checks that are due. The checks of one LIM run one after the other.
func (a *abilities) look(own []int, now time.Time) {
	for n := range a.all {
		if entry := a.doc.LIM(n); !slices.Contains(own, n) || entry == nil || a.doc.ClusterOfLIM(n) == nil || !slices.Equal(a.all[n].checks, entry.Checks) {
			delete(a.all, n) // the result of a run in progress is dropped
		}
	}
	for _, n := range own {
		entry := a.doc.LIM(n)
		if entry == nil || len(entry.Checks) == 0 || a.doc.ClusterOfLIM(n) == nil || a.deps.Ability == nil {
			continue
		}
		x := a.all[n]
		if x == nil {
			x = &ability{Fitness: failover.Unproven(), checks: entry.Checks}
			a.all[n] = x
		}
		if !x.busy && (x.at.IsZero() || now.Sub(x.at) >= a.cfg.CheckInterval) {
			x.busy, x.at = true, now
			a.ask(n, x, entry)
		}
	}
}

// ask runs the checks of one LIM beside the main loop.
func (a *abilities) ask(n int, x *ability, entry *clusterconf.LIM) {
	env := a.lims.of(n).software.env(a.aliasOf(n))
	if !a.lims.of(n).State.Active() {
		env.Role = rolePassive
	}
	a.wg.Go(func() {
		a.newestData(&env)
		failed, unknown := a.deps.Ability(a.ctx, entry, env)
		a.post(func() { a.noteResult(n, x, failed, unknown, time.Now()) })
	})
}

// noteResult records the result of a LIM's checks.
func (a *abilities) noteResult(n int, x *ability, failed, unknown string, now time.Time) {
	x.busy = false
	if a.all[n] != x {
		return
	}
	was := x.Fitness
	x.Fitness = was.Next(failed, unknown, now)
	switch is := x.Fitness; {
	case was.Unfit == "" && is.Unfit != "":
		a.journal.software(n, fmt.Sprintf("%s is unfit for LIM %d: %s", a.cfg.Server, n, is.Unfit))
	case was.Unfit != "" && is.Unfit == "":
		a.journal.software(n, fmt.Sprintf("%s is fit for LIM %d again", a.cfg.Server, n))
	case was.Unchecked != is.Unchecked && is.Unchecked != "":
		a.journal.software(n, fmt.Sprintf("whether %s is fit for LIM %d is not known: %s", a.cfg.Server, n, is.Unchecked))
	default:
		a.nothingNew = was.Unchecked == is.Unchecked && was.Unfit == is.Unfit && was.Failing == is.Failing
	}
}

// unfit returns the LIMs for which this server is unfit, and those whose checks cannot be run.
func (a *conditions) unfit() []alarms.Condition {
	var out []alarms.Condition
	for n, x := range a.fitness.abilities.all {
		c := alarms.Condition{Name: alarms.Unfit, Severity: alarms.Warning, LIM: n, Server: a.cfg.Server}
		switch active := a.lims.of(n).State.Active(); {
		case x.Unfit != "" && active:
			c.Severity = alarms.Critical
			c.Text = fmt.Sprintf("%s is unfit for LIM %d, which runs there: %s", a.cfg.Server, n, x.Unfit)
		case x.Unfit != "":
			c.Text = fmt.Sprintf("%s is unfit for LIM %d, and does not take it over: %s", a.cfg.Server, n, x.Unfit)
		case x.Unchecked != "" && x.Unchecked != failover.Unproven().Unchecked:
			c.Text = fmt.Sprintf("whether %s is fit for LIM %d is not known: %s", a.cfg.Server, n, x.Unchecked)
		default:
			continue
		}
		out = append(out, c)
	}
	return out
}
