package agent

import (
	"context"
	"reflect"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/sinks"
)

// tellAlarms has the sinks of this server told what of the system's alarms is its to tell.
func (a *Agent) tellAlarms(now time.Time) {
	if !a.settled || a.stopping {
		return
	}
	var words []alarms.Word
	for i := range a.doc.Servers {
		name := a.doc.Servers[i].Name
		if name == a.cfg.Server {
			continue
		}
		w := alarms.Word{Server: name}
		if p := a.peers.all[name]; p != nil && p.Claim != nil {
			w.Live = p.Liveness == failover.Alive
			w.Good = w.Live || p.Liveness == failover.AgentLost && p.Claim.Parked
			w.Reach, w.Alarms, w.Told = p.reach, p.alarms, p.told
		}
		words = append(words, w)
	}
	next, changes := alarms.Tell(a.alarms, now, alarms.Word{Server: a.cfg.Server, Reach: a.sinks.Reach()}, words)
	if !reflect.DeepEqual(next.Told, a.alarms.Told) {
		a.kept.unsaved = true
	}
	a.alarms = next
	for _, c := range changes {
		a.sinks.Put(sinks.MessageOf(c, now, a.doc.System, a.cfg.Server))
	}
}

// sinkTold has it kept what the sinks were told; it is called beside the main loop.
func (a *Agent) sinkTold() {
	a.post(func() { a.nothingNew, a.kept.unsaved = true, true })
}

// TestSinks answers `alarms test`.
func (a *Agent) TestSinks(ctx context.Context, r control.TestRequest) (*control.TestResult, error) {
	severity := alarms.Severity(r.Severity)
	if severity != alarms.Warning && severity != alarms.Critical {
		return nil, fault.New(fault.Usage, "give warning or critical", "there is no severity %q", r.Severity)
	}
	system, err := on(ctx, a.core, func() (string, error) { return a.doc.System, nil })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)() // no sink answers any more when the agent ends
	out := &control.TestResult{Sinks: []control.SinkResult{}}
	for _, x := range a.sinks.Test(ctx, sinks.TestMessage(severity, time.Now(), system, a.cfg.Server, r.By)) {
		out.Sinks = append(out.Sinks, control.SinkResult(x))
	}
	return out, nil
}
