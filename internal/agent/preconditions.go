package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/services"
)

// softwarePeriod is the time from one look at what could start here to the next, unless
// the document changes.
const softwarePeriod = 2 * time.Second

const (
	validatePeriod = time.Minute      // the same for software that is asked whether it would start
	settingsPeriod = 10 * time.Second // and for the settings on the disk
)

// preconditions are what a LIM's software needs to start on this server. They are of the
// main loop.
type preconditions struct {
	*core
	unable  map[int]string // LIMs whose software could not start here, and why; nil: not looked yet
	lacking map[int]string // LIMs whose announcement prompts are not here, and why; "": they are
	invalid map[int]string // LIMs whose software says that it would not start here, as far as it was asked last
	looks   looks

	otherSettings string // how the settings on the disk differ from those that this agent works by; "": they do not
}

// looks is how far looking at the software is.
type looks struct {
	under bool      // one is under way
	at    time.Time // of the last one
	hash  string    // of the document that it was by
	asked time.Time // when software was asked last
	read  time.Time // when the settings were
}

// look finds out whether the LIMs' software could start here, beside
// the main loop, one look at a time: who is asked may take long to answer.
func (p *preconditions) look(lims []int, now time.Time) {
	if p.looks.under || p.looks.hash == p.hash && now.Sub(p.looks.at) < softwarePeriod {
		return
	}
	ask := p.looks.hash != p.hash || now.Sub(p.looks.asked) >= validatePeriod
	if ask {
		p.looks.asked = now
	}
	read := p.deps.OtherSettings != nil && now.Sub(p.looks.read) >= settingsPeriod
	if read {
		p.looks.read = now
	}
	p.looks.under, p.looks.at, p.looks.hash = true, now, p.hash
	invalid, settings := p.invalid, p.otherSettings
	doc, side, aliases := p.doc, p.side(), map[int]netip.Addr{}
	for _, n := range lims {
		aliases[n] = p.aliasOf(n).Addr()
	}
	p.wg.Go(func() {
		unable, lacking := map[int]string{}, map[int]string{}
		if ask {
			invalid = map[int]string{}
		}
		if read {
			settings = p.deps.OtherSettings()
		}
		for _, n := range lims {
			lacking[n] = p.lacksPrompts(doc.LIM(n))
			able, validate := p.able(p.ctx, doc.LIM(n), side, aliases[n], ask)
			if validate != nil {
				invalid[n] = validate.Error()
			}
			if able != nil {
				unable[n] = able.Error()
			} else if why := invalid[n]; why != "" {
				unable[n] = why
			}
		}
		p.post(func() {
			p.unable, p.lacking, p.invalid, p.otherSettings, p.looks.under = unable, lacking, invalid, settings, false
		})
	})
}

// able says what surely keeps a LIM's software from starting on this server, and where it
// is to be asked, what that says itself.
func (p *preconditions) able(ctx context.Context, entry *clusterconf.LIM, side clusterconf.Side, alias netip.Addr, ask bool) (able, valid error) {
	if entry == nil {
		return nil, nil
	}
	set, err := p.deps.Software(entry, side)
	if err != nil {
		return err, nil
	}
	env := services.Env{LIM: entry.Number, Server: p.cfg.Server, Role: rolePassive, Alias: alias}
	if able = set.Able(ctx, env); able == nil && ask {
		valid = set.Validate(ctx, env)
	}
	return able, valid
}

// settingsWords says that this agent works by other settings than those on the disk, and
// what to type; "": it does not.
func (p *preconditions) settingsWords(server string) string {
	if p.otherSettings == "" {
		return ""
	}
	return fmt.Sprintf("the agent of %s does not work by the settings on its disk: %s", server, p.otherSettings)
}
