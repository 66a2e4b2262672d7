package failover

import (
	"fmt"

	"mxcluster/clusterconf"
)

// Reach is how far a number that is counted up, such as a term, may be ahead of the highest known
// one. No server counts that far unheard: a higher number is invalid, and accepting it would leave
// no room for counting on.
const Reach = clusterconf.Reach

// Beyond returns which number of a claim is out of reach; "": none. age is that of this server's
// document; known returns the highest known term of a LIM.
func (c *Claim) Beyond(age clusterconf.Age, known func(lim int) uint64) string {
	if why := age.Beyond(c.Age()); why != "" {
		return why
	}
	for _, l := range c.LIMs {
		highest := known(l.LIM)
		if term := max(l.Term, l.Known.Term); term > highest && term-highest > Reach {
			return fmt.Sprintf("term %d of LIM %d, where %d is the highest known here", term, l.LIM, highest)
		}
	}
	return ""
}
