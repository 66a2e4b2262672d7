package failover

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// editDocument is a system of two clusters of which LIM 1 is in the first, and a free
// server that nobody supervises.
func editDocument() *clusterconf.Document {
	base := func(n int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 24) }
	d := &clusterconf.Document{Revision: 5, Servers: []clusterconf.Server{{Name: "free1", Base: base(1)}}}
	for i, c := range [][]string{{"sb1", "srv1", "srv2"}, {"sb2", "srv3"}} {
		cluster := clusterconf.Cluster{Name: fmt.Sprint("c", i+1), Standby: c[0]}
		d.Servers = append(d.Servers, clusterconf.Server{Name: c[0], Base: base(10 + i), Standby: true})
		for _, name := range c[1:] {
			lim := int(name[3] - '0')
			d.Servers = append(d.Servers, clusterconf.Server{Name: name, Base: base(20 + lim), LIM: lim})
			cluster.LIMs = append(cluster.LIMs, clusterconf.Member{LIM: lim, Alias: base(30 + lim)})
		}
		d.Clusters = append(d.Clusters, cluster)
	}
	return d
}

// seen is the view of a server by which each of the others has a liveness.
func seen(d *clusterconf.Document, self string, liveness func(name string) Liveness) (View, *Claim) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	v := View{Now: now, Self: self, Settled: true, Started: now.Add(-time.Hour), StartGrace: time.Minute, Document: d, Peers: map[string]Peer{}}
	for _, s := range d.Servers {
		if s.Name != self {
			v.Peers[s.Name] = Peer{Liveness: liveness(s.Name), Claim: &Claim{Server: s.Name, Revision: d.Revision, Settled: true}}
		}
	}
	return v, &Claim{Server: self, Revision: d.Revision, Hash: "sha256:1", Settled: true}
}

func TestEditPlace(t *testing.T) {
	const editor = "srv1"
	all := func(string) Liveness { return Alive }
	but := func(others Liveness, names ...string) func(string) Liveness {
		return func(name string) Liveness {
			for _, n := range names {
				if n == name {
					return others
				}
			}
			return Alive
		}
	}
	for _, tc := range []struct {
		name, self string
		liveness   func(string) Liveness
		change     func(v *View)
		want       EditorPlace // without words
	}{
		{"all is well", "sb1", all, nil, EditorPlace{Server: editor}},
		{"here", editor, all, nil, EditorPlace{Server: editor}},
		{"it is gone", "sb1", but(Gone, editor), nil, EditorPlace{Server: "sb1", Raise: true}},
		{"seen by another one of the cluster", "srv2", but(Gone, editor), nil, EditorPlace{Server: "sb1", Raise: true}},
		{"seen from another cluster", "srv3", but(AgentLost, editor), nil, EditorPlace{Server: "sb1", Raise: true}},
		{"the standby is gone, too", "srv2", but(Gone, editor, "sb1"), nil, EditorPlace{Server: "srv2", Raise: true}},
		{"its agent alone is silent", "sb1", but(AgentLost, editor), nil, EditorPlace{}},
		{"it was never heard", "sb1", but(Unheard, editor), nil, EditorPlace{Server: "sb1", Raise: true}},
		{"it was not heard yet", "sb1", but(Unheard, editor), func(v *View) { v.Started = v.Now }, EditorPlace{}},
		{"this server is cut off", "sb1", but(Gone, editor), func(v *View) { v.Isolated = true }, EditorPlace{}},
		{"this server knows nothing yet", "sb1", but(Gone, editor), func(v *View) { v.Settled = false }, EditorPlace{}},
		{"nobody of its cluster is heard", "srv3", but(AgentLost, editor, "sb1", "srv2"), nil, EditorPlace{}},
		{"the standby hears nobody", "srv2", but(Gone, editor), func(v *View) { v.Peers["sb1"].Claim.Isolated = true }, EditorPlace{Server: "srv2", Raise: true}},
		{"the standby's agent ends", "srv2", but(Gone, editor), func(v *View) { v.Peers["sb1"].Claim.Leaving = true }, EditorPlace{Server: "srv2", Raise: true}},
		{"nobody supervises it", "sb1", but(AgentLost, "free1"), func(v *View) { v.Document.Editor = "free1" }, EditorPlace{Server: "sb1", Raise: true, Probe: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, own := seen(editDocument(), tc.self, tc.liveness)
			if tc.change != nil {
				tc.change(&v)
			}
			got := EditPlace(v, own)
			if got.Server == "" && (got.Why == "" || got.Hint == "") {
				t.Errorf("it does not say why nowhere, or what to do: %+v", got)
			}
			if got.Why, got.Hint = "", ""; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// Whoever hears whom, and whatever is proposed in which order: no server accepts an
// epoch of two, none accepts while it hears the editor or has a later document, and two
// that hear each other do not both get one epoch.
func TestNoEpochIsAcceptedTwice(t *testing.T) {
	for seed := range uint64(1000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		d := editDocument()
		names := []string{"sb1", "srv1", "srv2", "srv3", "sb2", "free1"}
		cut := map[[2]string]bool{} // who does not hear whom
		for _, a := range names {
			for _, b := range names {
				cut[[2]string{a, b}] = a != b && (rnd.IntN(4) == 0 || b == "srv1" && rnd.IntN(4) > 0)
			}
		}
		hears := func(a, b string) bool { return !cut[[2]string{a, b}] && !cut[[2]string{b, a}] }
		last, first := map[string]Acceptance{}, map[string]map[uint64]string{}
		for range 20 {
			from := names[rnd.IntN(len(names))]
			p := Proposal{Epoch: uint64(1 + rnd.IntN(4)), Age: d.Age(), Hash: "sha256:1"}
			for _, name := range names {
				if name == from || !hears(from, name) {
					continue
				}
				v, own := seen(d, name, func(other string) Liveness {
					if hears(name, other) {
						return Alive
					}
					return Gone
				})
				why := Accept(v, own, last[name], p, from)
				if why != "" {
					continue
				}
				if name != "srv1" && hears(name, "srv1") && from != "srv1" || name == "srv1" && from != "srv1" {
					t.Fatalf("seed %d: %s accepts %s although it hears the editor", seed, name, from)
				}
				if first[name] == nil {
					first[name] = map[uint64]string{}
				}
				if was, ok := first[name][p.Epoch]; ok && was != from || p.Epoch < last[name].Epoch {
					t.Fatalf("seed %d: %s accepts epoch %d of %s after that of %s", seed, name, p.Epoch, from, was)
				}
				first[name][p.Epoch], last[name] = from, Acceptance{Epoch: p.Epoch, By: from}
			}
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(v *View, own *Claim, p *Proposal, last *Acceptance)
		want   bool
	}{
		"as it should be":     {func(*View, *Claim, *Proposal, *Acceptance) {}, true},
		"a later document":    {func(v *View, _ *Claim, _ *Proposal, _ *Acceptance) { v.Document.Revision++ }, false},
		"another document":    {func(_ *View, own *Claim, _ *Proposal, _ *Acceptance) { own.Hash = "sha256:2" }, false},
		"an earlier document": {func(v *View, own *Claim, _ *Proposal, _ *Acceptance) { v.Document.Revision--; own.Hash = "sha256:2" }, true},
		"an epoch that is":    {func(v *View, _ *Claim, p *Proposal, _ *Acceptance) { v.Document.Epoch, p.Age.Epoch = 1, 1 }, false},
		"a server that is none": {func(v *View, _ *Claim, _ *Proposal, _ *Acceptance) {
			v.Document.Servers = v.Document.Servers[:1]
		}, false},
		"what it accepted before":     {func(_ *View, _ *Claim, _ *Proposal, last *Acceptance) { *last = Acceptance{1, "sb1"} }, true},
		"what it accepted of another": {func(_ *View, _ *Claim, _ *Proposal, last *Acceptance) { *last = Acceptance{1, "srv3"} }, false},
		"after a later one of it":     {func(_ *View, _ *Claim, _ *Proposal, last *Acceptance) { *last = Acceptance{2, "sb1"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := editDocument()
			v, own := seen(d, "srv2", func(name string) Liveness {
				if name == "srv1" {
					return Gone
				}
				return Alive
			})
			p := Proposal{Epoch: 1, Age: d.Age(), Hash: "sha256:1"}
			last := Acceptance{}
			tc.change(&v, own, &p, &last)
			if why := Accept(v, own, last, p, "sb1"); (why == "") != tc.want {
				t.Errorf("it says %q", why)
			}
		})
	}
}
