package evidence

import "time"

// How a server's kernel is asked. Switches with ARP inspection shut a port that sends
// more than some ARP packets a second; they do not count echoes.
const (
	aloud      = time.Minute      // from one question to everybody for a server that is well to the next
	calling    = time.Second      // for one that is gone
	echoTries  = 20               // of one that was never answered, at the pace of polls
	echoAgain  = 10 * time.Second // and then
	rareBelow  = time.Second      // with a silence limit below, ARP is asked as often as echoes where they are not answered
	arpInLimit = 10               // ARP questions to one in doubt that answers echoes
	arpAlone   = 6                // to one that answers none and says nothing by itself, while all is well
)

// Questions are what a kernel is asked now.
type Questions struct {
	Echo bool // by ICMP, of its MAC address
	One  bool // by ARP, of its MAC address
	All  bool // by ARP, of everybody: it may have another MAC address. Whoever answers, silence says nothing
}

// Vitals are what follows from the signs of life of one server.
type Vitals struct {
	Gone bool // no sign of any kind for the limit
	// Doubtful says that its kernel, which has answered echoes, answers none for the
	// limit, nor does its agent speak; somebody answers ARP for it, which a cache can do.
	Doubtful bool
}

// Pulse keeps the signs of life of one server, or of a gateway, and says what to ask of
// it next. The zero value with a limit is ready. Pulse is not safe for concurrent use.
type Pulse struct {
	Talks bool // it is a server, whose agent speaks

	any    Watch // signs of all kinds
	sure   Watch // its agent's word, or an echo: what only the server itself can give
	echo   Watch
	gossip time.Time
	echoes bool // learned while its agent was heard: its kernel answers echoes

	tried   int // echoes since the last answer to one
	lastTry time.Time
	lastARP time.Time
	lastAll time.Time
	allAt   time.Time // everybody is to be asked once more; zero: not before it is time
}

// SetLimit sets the silence that makes it gone.
func (p *Pulse) SetLimit(limit time.Duration) {
	p.any.Limit, p.sure.Limit, p.echo.Limit = limit, limit, limit
}

// Limit returns the silence that makes it gone.
func (p *Pulse) Limit() time.Duration { return p.any.Limit }

// Gossiped records a word of its agent.
func (p *Pulse) Gossiped(at time.Time) {
	p.any.Heard(at)
	p.sure.Heard(at)
	if at.After(p.gossip) {
		p.gossip = at
	}
}

// Echoed records an answer to an echo. One to a question of long ago tells of then.
func (p *Pulse) Echoed(asked, at time.Time) {
	if at.Sub(asked) > p.any.Limit {
		return
	}
	p.any.Heard(at)
	p.sure.Heard(at)
	p.echo.Heard(at)
	p.tried = 0
	if !p.Talks || !p.gossip.IsZero() && at.Sub(p.gossip) < p.any.Limit {
		p.echoes = true
	}
}

// Answered records an answer by ARP that is not discounted.
func (p *Pulse) Answered(at time.Time) { p.any.Heard(at) }

// Echoes reports whether silence after an echo means something.
func (p *Pulse) Echoes() bool { return p.echoes }

// InDoubt reports whether signs of life are missing, of those that it can be asked for.
func (p *Pulse) InDoubt() bool { return p.telling().InDoubt() }

// telling is the watch whose silence tells: where echoes are answered, answers by ARP
// alone do not end a doubt.
func (p *Pulse) telling() *Watch {
	if p.echoes {
		return &p.sure
	}
	return &p.any
}

// LastHeard returns the time of the last sign of life of any kind; zero if there was none.
func (p *Pulse) LastHeard() time.Time { return p.any.LastHeard() }

// Period returns the time until it is to be asked again.
func (p *Pulse) Period(now time.Time) time.Duration { return p.telling().Period(now) }

// calm is the time from one poll to the next while all is well.
func (p *Pulse) calm() time.Duration { return p.any.Limit / pollsPerLimit }

// Wants returns what to ask now; placed says that a MAC address of it is known.
func (p *Pulse) Wants(now time.Time, placed bool) Questions {
	if !placed {
		every := p.calm()
		if p.rare() {
			every = max(every, calling/4)
		}
		return Questions{All: now.Sub(p.lastAll) >= every}
	}
	q := Questions{Echo: p.wantsEcho(now), One: p.wantsARP(now)}
	if p.any.Silent(now) && now.Sub(p.any.from()) >= 2*p.any.Limit {
		q.All, q.One = now.Sub(p.lastAll) >= calling, q.One && !p.rare()
	} else if p.InDoubt() {
		// Every second question goes to everybody.
		if q.One && p.lastAll.Before(p.lastARP) {
			q.One, q.All = false, true
		}
	} else {
		q.All = now.Sub(p.lastAll) >= aloud || !p.allAt.IsZero() && !now.Before(p.allAt)
	}
	return q
}

// AskAll has everybody asked for it once more, at a time, while all is well.
func (p *Pulse) AskAll(at time.Time) {
	if p.allAt.IsZero() {
		p.allAt = at
	}
}

// rare reports whether ARP is asked as seldom as can be.
func (p *Pulse) rare() bool { return p.echoes || p.any.Limit >= rareBelow }

// ARPRates returns how many ARP questions a second go to one server whose kernel
// answers no echoes, at the most, where a silence limit is so short that no budget
// bounds them: while all is well, and while signs of life are missing, when it is asked
// for its base and, beside its base, for its alias. 0: the budget bounds them.
func ARPRates(limit time.Duration) (well, doubt int) {
	if limit <= 0 || limit >= rareBelow {
		return 0, 0
	}
	w := Watch{Limit: limit}
	inSecond := func(period time.Duration) int { return int((time.Second + period - 1) / period) }
	return inSecond(limit / pollsPerLimit), 3 * inSecond(min(w.haste(), limit/pollsPerLimit))
}

func (p *Pulse) wantsEcho(now time.Time) bool {
	switch {
	case p.echoes:
		return true
	case p.tried < echoTries:
		return now.Sub(p.lastTry) >= p.calm()
	}
	return now.Sub(p.lastTry) >= echoAgain
}

func (p *Pulse) wantsARP(now time.Time) bool {
	last := p.lastARP
	if p.lastAll.After(last) {
		last = p.lastAll
	}
	since := now.Sub(last)
	switch {
	case !p.rare():
		return true
	case p.InDoubt() && p.echoes:
		return since >= p.any.Limit/arpInLimit
	case p.InDoubt():
		return true
	case !p.echoes && now.Sub(p.gossip) >= p.any.Limit:
		return since >= p.any.Limit/arpAlone
	}
	return false
}

// Asked records what was asked now of what was wanted.
func (p *Pulse) Asked(now time.Time, q Questions, placed bool) {
	for _, w := range []struct {
		watch *Watch
		poll  bool
	}{
		{&p.any, q.Echo && p.echoes || q.One || q.All && !placed},
		{&p.sure, q.Echo},
		{&p.echo, q.Echo},
	} {
		if w.poll {
			w.watch.Polled(now)
		} else {
			w.watch.Looked(now)
		}
	}
	if q.Echo {
		p.lastTry = now
		p.tried++
	}
	if q.One {
		p.lastARP = now
	}
	if q.All {
		p.lastAll, p.allAt = now, time.Time{}
	}
	p.unlearn(now)
}

// unlearn forgets that echoes are answered when they are not any more, while there are
// signs of life that say so: a firewall drops them now.
func (p *Pulse) unlearn(now time.Time) {
	since := p.gossip
	if !p.Talks {
		since = p.any.LastHeard()
	}
	if p.echoes && p.echo.Silent(now) && since.Sub(p.echo.LastHeard()) >= p.any.Limit {
		p.echoes, p.tried = false, echoTries
	}
}

// Judge returns what follows from all signs.
func (p *Pulse) Judge(now time.Time) Vitals {
	gone := p.any.Silent(now)
	return Vitals{Gone: gone, Doubtful: !gone && p.Talks && p.echoes && p.sure.Silent(now)}
}
