package agent

import (
	"fmt"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
)

// clockConditions tells of clocks in this server's cluster that are further apart
// than the times of data versions bear (spec ch. 3). Where most of the others
// are off, it is this server's own.
func (a *peers) clockConditions() []alarms.Condition {
	mates := a.mates()
	var off []string
	for _, name := range mates {
		if p := a.of(name); p.liveness == failover.Alive && p.clocks && p.clock.Abs() > status.MaxClockOffset {
			off = append(off, name)
		}
	}
	if len(mates) > 1 && 2*len(off) > len(mates) {
		off = []string{a.cfg.Server}
	}
	var out []alarms.Condition
	for _, name := range off {
		out = append(out, alarms.Condition{Name: alarms.ClockSkew, Severity: alarms.Warning, Server: name,
			Text: fmt.Sprintf("the clock of %s is more than %s off; see to NTP there", name, status.MaxClockOffset)})
	}
	return out
}

// flapping tells, on the standby, of a regular server that fails again and again,
// and from the first time on where that holds automatic fallback back.
func (a *Agent) flapping(l *lim, regular string, count int) []alarms.Condition {
	text := fmt.Sprintf("%s failed again soon after a fallback of LIM %d", regular, l.number)
	held := a.cluster().Fallback == clusterconf.FallbackAutomatic && a.cfg.FirstHold > 0
	switch {
	case count == 0 || count == 1 && !held:
		return nil
	case count > 1:
		text = fmt.Sprintf("%s failed %d times soon after a fallback of LIM %d", regular, count, l.number)
	}
	if held {
		text += fmt.Sprintf("; before the next automatic one it must stay up for %s", l.flaps.Hold(a.cfg.FirstHold))
	}
	if at := l.flaps.Forgotten(); !at.IsZero() {
		text += fmt.Sprintf("; forgotten at %s if it does not fail before", at.UTC().Format("15:04:05Z"))
	}
	return []alarms.Condition{{Name: alarms.Flapping, Severity: alarms.Warning, LIM: l.number, Server: regular, Text: text}}
}
