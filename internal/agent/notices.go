package agent

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// Alarms answers `alarms list`.
func (a *Agent) Alarms(ctx context.Context) (*status.AlarmList, error) {
	return on(ctx, a.core, func() (*status.AlarmList, error) { return status.BuildAlarms(a.statusInput(time.Now())), nil })
}

// Notice answers `alarms notice` and `alarms clear`. It tells all servers.
func (a *Agent) Notice(ctx context.Context, r control.NoticeRequest) (*control.NoticeResult, error) {
	return on(ctx, a.core, func() (*control.NoticeResult, error) {
		now := time.Now()
		raised := a.raised()
		i := slices.IndexFunc(raised, func(x alarms.Alarm) bool { return x.Handle == r.Handle })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "mxcluster alarms list", "there is no alarm %d", r.Handle)
		}
		alarm := raised[i]
		if r.Clear && !alarm.Name.Past() {
			return nil, fault.New(fault.Refused, fmt.Sprintf("what ends it: mxcluster alarms explain %s; to have it count no more: mxcluster alarms notice %d", alarm.Name, alarm.Handle),
				"alarm %d, %s, ends when what it tells of does", alarm.Handle, alarm.Name)
		}
		n := alarms.NoticeOf(alarm, now, r.By, r.Comment)
		n.Cleared = r.Clear
		last := alarms.NoticeFor(a.alarms.Notices, alarm)
		out := &control.NoticeResult{Already: last != nil && last.Comment == n.Comment && last.Cleared == n.Cleared}
		if !out.Already && !r.DryRun {
			a.hearNotices([]alarms.Notice{n})
			a.journal.noticed(n)
		}
		for _, x := range status.BuildAlarms(a.statusInput(now)).Alarms {
			if x.Handle == r.Handle {
				out.Alarm = x
			}
		}
		return out, nil
	})
}

// raised returns the alarms of all servers whose claims are up to date, as `status` shows them.
func (a *Agent) raised() []alarms.Alarm {
	all := [][]alarms.Alarm{a.alarms.Alarms}
	for _, p := range a.peers.all {
		if p.Liveness == failover.Alive || p.Liveness == failover.AgentLost && p.Claim != nil && p.Claim.Parked {
			all = append(all, p.alarms)
		}
	}
	return alarms.Merge(all...)
}

// hearNotices handles acknowledgements of alarms, made here or on another server, and ends cleared
// alarms.
func (a *Agent) hearNotices(said []alarms.Notice) {
	if len(said) == 0 && len(a.alarms.Notices) == 0 {
		return
	}
	merged := alarms.MergeNotices(time.Now(), a.raised(), a.alarms.Notices, said)
	if reflect.DeepEqual(merged, a.alarms.Notices) {
		return
	}
	a.alarms.Notices, a.kept.unsaved = merged, true
	for _, alarm := range a.alarms.Alarms {
		if n := alarms.NoticeFor(merged, alarm); n != nil && n.Cleared {
			a.forget(alarm)
		}
	}
}

// forget ends the cause of an alarm about something past; see alarms.Name.Past.
func (a *Agent) forget(alarm alarms.Alarm) {
	switch alarm.Name {
	case alarms.StateLost:
		a.kept.lost = ""
	case alarms.DocumentConflict:
		a.docs.conflict = 0
	case alarms.NotUnderstood:
		delete(a.refusals.causes, alarm.Server)
	}
}
