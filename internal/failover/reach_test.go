package failover

import (
	"math"
	"strings"
	"testing"

	"mxcluster/clusterconf"
)

func TestClaimsBeyondReason(t *testing.T) {
	age := clusterconf.Age{Epoch: 2, Revision: 40}
	for _, tt := range []struct {
		name string
		c    Claim
		want string
	}{
		{"as usual", Claim{Epoch: 2, Revision: 41, LIMs: []LIMClaim{{LIM: 1, Term: 8, Known: Place{Term: 9}}}}, ""},
		{"behind", Claim{Revision: 1, LIMs: []LIMClaim{{LIM: 1}}}, ""},
		{"far, for one who was away", Claim{Epoch: 9, Revision: 40 + Reach, LIMs: []LIMClaim{{LIM: 1, Term: 7 + Reach}}}, ""},
		{"a revision", Claim{Epoch: 2, Revision: 41 + Reach}, "revision 1048617"},
		{"the highest revision", Claim{Revision: math.MaxUint64}, "revision 18446744073709551615"},
		{"an epoch", Claim{Epoch: 3 + Reach, Revision: 40}, "epoch 1048579"},
		{"a term", Claim{Revision: 40, LIMs: []LIMClaim{{LIM: 2}, {LIM: 1, Term: 8 + Reach}}}, "term 1048584 of LIM 1, where 7 is the highest"},
		{"a term that it has heard of", Claim{Revision: 40, LIMs: []LIMClaim{{LIM: 1, Known: Place{Term: math.MaxUint64}}}}, "term 18446744073709551615"},
	} {
		got := tt.c.Beyond(age, func(lim int) uint64 { return map[int]uint64{1: 7}[lim] })
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A state that only a later version has is running where the alias is on the wire.
func TestStatesOfLaterVersions(t *testing.T) {
	for _, c := range []struct {
		claim LIMClaim
		want  State
	}{
		{LIMClaim{State: Preloaded, Holds: true, Blocked: true}, Preloaded},
		{LIMClaim{State: Stopped, Holds: true}, Stopped},
		{LIMClaim{State: "hovering", Holds: true}, Running},
		{LIMClaim{State: "hovering", Holds: true, Blocked: true}, Unknown},
		{LIMClaim{State: "hovering", Holds: true, Absent: true}, Unknown},
		{LIMClaim{State: "hovering"}, Unknown},
		{LIMClaim{}, Unknown},
	} {
		if got := c.claim.Understood(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.claim, got, c.want)
		}
	}
}
