package detector

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"mxcluster/netops"
)

// watched is a detector that asks for an alias and the base of its holder, over a
// line that loses questions and answers.
type watched struct {
	*Detector
	now         time.Time
	base, alias bool // what the holder's kernel answers for
	echoless    bool // by ARP alone
	cached      bool // the switch answers ARP for the alias, there or not
	loss        float64
	rnd         *rand.Rand
}

var holderMAC = net.HardwareAddr{2, 0, 0, 0, 0, 7}

func newWatched(limit time.Duration, loss float64, seed uint64) *watched {
	base, alias := netip.MustParseAddr("192.0.2.21"), netip.MustParseAddr("192.0.2.11")
	w := &watched{now: time.Unix(1e9, 0), base: true, alias: true, loss: loss, rnd: rand.New(rand.NewPCG(seed, 1))}
	w.Detector = bareDetector()
	w.SetServers(map[string]Server{"srv1": {Base: base, Alias: alias}}, limit)
	w.SetMACs("srv1", []string{holderMAC.String()})
	w.WatchAlias(1, alias, limit, w.now)
	return w
}

// live polls and answers for some time; it returns when the alias counted as silent,
// a negative time if it never did.
func (w *watched) live(d time.Duration) time.Duration {
	began := w.now
	for end := w.now.Add(d); w.now.Before(end); {
		next, ask, _ := w.poll(w.now)
		for _, q := range ask.arp {
			if w.answers(q) || w.cached && q.target == w.aliases[1].addr {
				w.observe(netops.Observation{Time: w.now, Op: netops.Reply, SenderMAC: holderMAC, SenderIP: q.target})
			}
		}
		for _, q := range ask.echo {
			if !w.echoless && w.answers(q) {
				w.echo(netops.Echo{Time: w.now, Asked: w.now, MAC: holderMAC, From: q.target})
			}
		}
		if w.Aliases()[1].Silent {
			return w.now.Sub(began)
		}
		w.now = next
	}
	return -1
}

// answers draws whether a question is answered, for what the line loses.
func (w *watched) answers(q question) bool {
	has := w.alias && q.target == w.aliases[1].addr || w.base && q.target == w.hosts["srv1"].addrs.Base
	return has && w.rnd.Float64() >= w.loss && w.rnd.Float64() >= w.loss
}

func TestAliasThatItsServerGaveUp(t *testing.T) {
	const limit = 200 * time.Millisecond
	for _, tc := range []struct {
		name        string
		base, alias bool
		loss        float64
		from, to    time.Duration // when it counts as silent; to 0: never
	}{
		{"nothing happens", true, true, 0, 0, 0},
		{"half is lost both ways", true, true, 0.5, 0, 0},
		{"the alias is gone", true, false, 0, 80 * time.Millisecond, 130 * time.Millisecond},
		{"the alias is gone, a tenth is lost", true, false, 0.1, 70 * time.Millisecond, 150 * time.Millisecond},
		{"the alias is gone, half is lost", true, false, 0.5, 70 * time.Millisecond, 280 * time.Millisecond},
		{"both are gone, as in a blip", false, false, 0, 180 * time.Millisecond, 225 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(20) {
				w := newWatched(limit, tc.loss, seed)
				if at := w.live(time.Second); at >= 0 {
					t.Fatalf("silent after %s already", at)
				}
				w.base, w.alias = tc.base, tc.alias
				at := w.live(20 * time.Second)
				if never := tc.to == 0; never && at >= 0 || !never && (at < tc.from || at > tc.to) {
					t.Errorf("seed %d: silent after %s, want %s to %s", seed, at, tc.from, tc.to)
				}
			}
		})
	}
}

// A pause of this process is no silence of others.
func TestAliasAfterAPause(t *testing.T) {
	w := newWatched(200*time.Millisecond, 0, 1)
	w.live(time.Second)
	w.alias = false
	if at := w.live(70 * time.Millisecond); at >= 0 {
		t.Fatalf("silent after %s already", at)
	}
	w.now = w.now.Add(time.Second)
	if at := w.live(50 * time.Millisecond); at >= 0 {
		t.Errorf("silent %s after the pause", at)
	}
}
