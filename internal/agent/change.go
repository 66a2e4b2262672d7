package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// changes is how far a LIM's software is brought in line with the document while it
// is up.
type changes struct {
	hash  string    // of the document that it was last compared with
	again time.Time // when to try again what did not work; zero: all did
	tries int
}

// gone returns the services that may be up here and are not among those that a LIM is
// to have now.
func (a *Agent) gone(l *lim, now services.Set) services.Set {
	entry := &clusterconf.LIM{Number: l.number}
	for _, spec := range l.specs {
		if !slices.Contains(now.Specs(), spec) {
			entry.Services = append(entry.Services, clusterconf.Service{Run: spec})
		}
	}
	if len(entry.Services) == 0 {
		return nil
	}
	set, err := a.deps.Software(entry, a.side())
	if err != nil {
		a.log.Error("finding software that was removed", "lim", l.number, "services", l.specs, "err", err)
	}
	return set
}

// mayBeUp notes which services may be up from now on: those of a set and those that are
// not stopped yet.
func (l *lim) mayBeUp(sets ...services.Set) {
	l.specs = slices.Concat(sets...).Specs()
}

// outdated reports whether the software that is up is not what the document wants, or
// something of it is to be tried again.
func (a *Agent) outdated(l *lim, software services.Set, now time.Time) bool {
	if l.specs == nil || l.change.hash == a.hash && (l.change.again.IsZero() || now.Before(l.change.again)) {
		return false
	}
	l.change.hash = a.hash
	want := software.Specs()
	same := len(want) == len(l.specs) && !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(l.specs, s) })
	return !same || !l.change.again.IsZero()
}

// changeSoftware brings the software of a LIM that runs in line with the document: what
// was removed is stopped, what was added is started, the rest goes on. What does not
// start is told and tried again later; the LIM stays here, for the rest serves.
func (a *Agent) changeSoftware(l *lim, software services.Set, env services.Env) {
	gone := a.gone(l, software)
	before := l.specs
	l.mayBeUp(software, gone)
	a.endHealth(l)
	saved := a.saveBegin()
	a.recordChange(l, software.Without(before).Specs(), gone.Specs())
	a.operate(l, func(ctx context.Context) func() {
		if err := saved(); err != nil {
			return func() {
				l.specs = before
				a.changed(l, software, env, software.Without(before).Specs(), []string{err.Error()})
			}
		}
		a.newestData(&env)
		left, errs := gone.StopEach(ctx, env)
		failed, more := software.StartEach(ctx, env)
		var why []string
		for i, spec := range left {
			why = append(why, fmt.Sprintf("%s was removed and does not stop: %v", spec, errs[i]))
		}
		for i, spec := range failed {
			why = append(why, fmt.Sprintf("%s does not start: %v", spec, more[i]))
		}
		return func() {
			l.mayBeUp(software.Without(failed), gone.Only(left))
			a.changed(l, software, env, failed, why)
		}
	})
}

// changed notes how that went, and watches what is up.
func (a *Agent) changed(l *lim, software services.Set, env services.Env, failed, why []string) {
	up := software.Without(failed)
	l.lacks, l.change.again = strings.Join(why, "; "), time.Time{}
	if len(why) > 0 {
		l.change.again = time.Now().Add(min(retryFirst<<min(l.change.tries, 8), retryLongest))
		l.change.tries++
	} else {
		l.change.tries = 0
	}
	switch {
	case l.state == failover.Stopping: // called off
		a.stopLIM(l, false, l.reason, nil)
		return
	case len(up) == 0 && len(software) > 0: // nothing serves
		err := fmt.Errorf("nothing of its software runs: %s", l.lacks)
		a.stopLIM(l, false, err.Error(), func() { a.fail(l, err) })
		return
	case l.lacks != "":
		a.recordSoftware(l.number, fmt.Sprintf("LIM %d runs on %s not as it was set: %s", l.number, a.cfg.Server, l.lacks))
	default:
		a.recordSoftware(l.number, fmt.Sprintf("the software of LIM %d on %s is as it was set", l.number, a.cfg.Server))
	}
	a.saveBeside()
	a.watchHealth(l, up, env)
}

func (a *Agent) recordChange(l *lim, added, removed []string) {
	var parts []string
	if len(removed) > 0 {
		parts = append(parts, "stops "+strings.Join(removed, ", "))
	}
	if len(added) > 0 {
		parts = append(parts, "starts "+strings.Join(added, ", "))
	}
	if len(parts) > 0 {
		a.recordSoftware(l.number, fmt.Sprintf("the software of LIM %d was changed: %s %s", l.number, a.cfg.Server, strings.Join(parts, " and ")))
	}
}

// tendSoftware looks whether the software of a LIM that runs is what it should be.
func (a *Agent) tendSoftware(l *lim) {
	now := time.Now()
	if l.specs == nil || l.change.hash == a.hash && (l.change.again.IsZero() || now.Before(l.change.again)) {
		return
	}
	software, env, err := a.software(l.number, a.aliasOf(l.number))
	if err != nil {
		l.change.hash = a.hash
		a.log.Error("changing the software", "lim", l.number, "err", err)
		return
	}
	if a.outdated(l, software, now) {
		a.changeSoftware(l, software, env)
	}
}

// stopGone ends, before software starts, what an earlier document had; what does not
// stop is told.
func (a *Agent) stopGone(ctx context.Context, gone services.Set, env services.Env) {
	if left, errs := gone.StopEach(ctx, env); len(left) > 0 {
		a.post(func() {
			a.recordSoftware(env.LIM, fmt.Sprintf("software that LIM %d does not have any more does not stop: %v", env.LIM, errs[0]))
		})
	}
}
