package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// changeSoftware adapts the running software of a LIM to the document: removed services are
// stopped, added ones are started, the rest goes on. A service that does not start is reported and
// retried; the LIM stays here, as the rest works.
func (l *lim) changeSoftware(software services.Set, env services.Env) {
	gone := l.software.gone(software)
	before := l.software.specs
	l.software.mayBeUp(software, gone)
	l.software.endHealth()
	saved := l.kept.saveBegin()
	l.software.recordChange(software.Without(before).Specs(), gone.Specs())
	l.operate(func(ctx context.Context) func() {
		if err := saved(); err != nil {
			return func() {
				l.software.specs = before
				l.changed(software, env, software.Without(before).Specs(), []string{err.Error()})
			}
		}
		l.newestData(&env)
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
			l.software.mayBeUp(software.Without(failed), gone.Only(left))
			l.changed(software, env, failed, why)
		}
	})
}

// changed records the result, and starts the health checks.
func (l *lim) changed(software services.Set, env services.Env, failed, why []string) {
	up := software.Without(failed)
	l.software.lacks, l.software.change.again = strings.Join(why, "; "), time.Time{}
	if len(why) > 0 {
		l.software.change.again = time.Now().Add(min(retryFirst<<min(l.software.change.tries, 8), retryLongest))
		l.software.change.tries++
	} else {
		l.software.change.tries = 0
	}
	switch {
	case l.State == failover.Stopping: // cancelled
		l.stop(false, l.reason, nil)
		return
	case len(up) == 0 && len(software) > 0: // nothing is up
		err := fmt.Errorf("nothing of its software runs: %s", l.software.lacks)
		l.stop(false, err.Error(), func() { l.fail(err) })
		return
	case l.software.lacks != "":
		l.journal.software(l.number, fmt.Sprintf("LIM %d runs on %s not as it was set: %s", l.number, l.cfg.Server, l.software.lacks))
	default:
		l.journal.software(l.number, fmt.Sprintf("the software of LIM %d on %s is as it was set", l.number, l.cfg.Server))
	}
	l.kept.saveBeside()
	l.watchHealth(up, env)
}

// tendSoftware checks whether running software is as the document wants it.
func (l *lim) tendSoftware() {
	now := time.Now()
	if l.software.specs == nil || l.software.change.hash == l.hash && (l.software.change.again.IsZero() || now.Before(l.software.change.again)) {
		return
	}
	software, env, err := l.software.build(l.aliasOf(l.number))
	if err != nil {
		l.software.change.hash = l.hash
		l.log.Error("changing the software", "lim", l.number, "err", err)
		return
	}
	if l.software.outdated(software, now) {
		l.changeSoftware(software, env)
	}
}
