package failover

import (
	"fmt"

	"mxcluster/clusterconf"
)

// Reach is how far a number that counts on by ones, such as a term, may be ahead of
// the highest known here. Nobody gets that far unheard; a higher one is a lie or damage,
// and believed it would leave no room to count on.
const Reach = clusterconf.Reach

// Beyond says which number of a claim is beyond reason, "" where none is. The age is
// that of this server's document; known is the highest term of a LIM known here.
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
