package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/services"
)

// softwarePeriod is the time between checks of what could start here, unless the document changes.
const softwarePeriod = 2 * time.Second

const (
	validatePeriod = time.Minute      // between checks of software that is asked whether it would start
	settingsPeriod = 10 * time.Second // between checks of the settings on the disk
)

// preconditions are what a LIM's software needs to start on this server. They are owned by the main
// loop.
type preconditions struct {
	*core
	unable  map[int]string // why a LIM's software could not start here; nil: not checked yet
	lacking map[int]string // why a LIM's announcement prompts are missing; "": they are not
	invalid map[int]string // what a LIM's software answers when asked whether it would start here, if it would not
	looks   looks

	otherSettings string // how the settings on the disk differ from those in use; "": they do not
}

// looks is the state of these checks.
type looks struct {
	under bool      // one is running
	at    time.Time // of the last one
	hash  string    // of the document that it used
	asked time.Time // last time that software was asked
	read  time.Time // last time that the settings were read
}

// look checks whether the LIMs' software could start here, beside the main loop, one check at a
// time: an answer may take long.
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

// able returns what keeps a LIM's software from starting on this server: what is certain, and, if
// asked, what the software itself answers.
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

// settingsWords words that the settings on the disk differ from those in use, with the remedy; "":
// they do not.
func (p *preconditions) settingsWords(server string) string {
	if p.otherSettings == "" {
		return ""
	}
	return fmt.Sprintf("the agent of %s does not work by the settings on its disk: %s", server, p.otherSettings)
}
