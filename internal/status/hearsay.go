package status

import (
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

// heard words what another server says of a server that it takes for dead and that the observer
// hears: then they do not hear each other, and more is not known.
func (in *Input) heard(speaker, text string) string {
	if speaker == in.Observer {
		return text
	}
	for i := range in.Document.Servers {
		name := in.Document.Servers[i].Name
		down := name + " is down"
		if name == speaker || in.Servers[name].Liveness != failover.Alive || !strings.Contains(text, down) {
			continue
		}
		standby := "the standby server "
		text = strings.ReplaceAll(text, standby+down, fmt.Sprintf("%s does not hear %s%s", speaker, standby, name))
		words := strings.Split(text, " ")
		for k := range len(words) - 2 {
			if words[k] == name && words[k+1] == "is" && strings.TrimRight(words[k+2], ".,;:") == "down" {
				words[k], words[k+1], words[k+2] = speaker, "does not hear", name+strings.TrimPrefix(words[k+2], "down")
			}
		}
		text = strings.Join(words, " ")
	}
	return text
}

// heardClaim does so with what a server says of a LIM.
func (in *Input) heardClaim(speaker string, l failover.LIMClaim) failover.LIMClaim {
	l.Reason, l.BlockedBy = in.heard(speaker, l.Reason), slices.Clone(l.BlockedBy)
	for i, why := range l.BlockedBy {
		l.BlockedBy[i] = in.heard(speaker, why)
	}
	if l.Promise != nil {
		p := *l.Promise
		p.Why = in.heard(speaker, p.Why)
		l.Promise = &p
	}
	return l
}

// heardAlarms does so with the alarms that a server has raised.
func (in *Input) heardAlarms(speaker string, raised []alarms.Alarm) []alarms.Alarm {
	out := slices.Clone(raised)
	for i := range out {
		out[i].Text = in.heard(speaker, out[i].Text)
	}
	return out
}
