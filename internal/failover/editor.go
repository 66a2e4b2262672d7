package failover

import (
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// EditorPlace says where edits of the cluster document are carried out, as one server sees it.
type EditorPlace struct {
	Server string // "": nowhere now
	Raise  bool   // in a new epoch, in the place of the editor, which is gone
	Probe  bool   // Raise: nobody supervises the editor, so that its base must be asked for first
	Why    string // Server "": why
	Hint   string // the remedy
}

// EditPlace returns where edits are carried out: on the document's editor as long as it
// is heard; where it is gone, on one of the others that supervise it. Own is this
// server's own claim.
func EditPlace(v View, own *Claim) EditorPlace {
	v = v.with(own)
	editor := v.Document.EditedOn()
	p := v.Peers[editor]
	if p.Liveness == Alive {
		return EditorPlace{Server: editor}
	}
	successor, supervised := v.successor(editor)
	nobody := EditorPlace{Why: fmt.Sprintf("edits are carried out on %s, which is not heard", editor),
		Hint: fmt.Sprintf("start its agent, or edit here with --force if %s is lost for good", editor)}
	switch {
	case !v.Settled:
		nobody.Why, nobody.Hint = "this server's agent waits to hear the others first", "try again in a moment"
	case v.Isolated:
		nobody.Why += "; this server hears nobody and may be cut off"
	case successor != v.Self && successor != "":
		return EditorPlace{Server: successor, Raise: true} // it knows
	case successor == "":
	case supervised && !v.lost(p):
		nobody.Why = fmt.Sprintf("edits are carried out on %s, whose agent is silent although that server may be up", editor)
	default:
		return EditorPlace{Server: v.Self, Raise: true, Probe: !supervised}
	}
	return nobody
}

// successor returns who carries edits out once the editor is gone: the server where LIM
// 1 is, else the standby of its cluster, else the first by name, of those that supervise
// it; where nobody does, the first of all. "": nobody is heard who could.
func (v *View) successor(editor string) (server string, supervised bool) {
	able := func(name string) bool {
		p := v.Peers[name]
		return name != editor && p.Liveness == Alive && p.Claim != nil && !p.Claim.Leaving && (name == v.Self || !p.Claim.Isolated)
	}
	c := v.Document.ClusterOfServer(editor)
	if c == nil {
		for _, s := range v.Document.Servers {
			if able(s.Name) {
				return s.Name, false
			}
		}
		return "", false
	}
	names := []string{c.Standby}
	for _, m := range c.LIMs {
		if r := v.Document.RegularOf(m.LIM); r != nil {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names[1:])
	if i := slices.IndexFunc(names, func(n string) bool { return able(n) && v.Peers[n].active(1) }); i >= 0 {
		return names[i], true
	}
	if i := slices.IndexFunc(names, able); i >= 0 {
		return names[i], true
	}
	return "", true
}

// Acceptance is an epoch that a server has accepted, and of whom. There is one for each
// epoch, and none for an earlier one.
type Acceptance struct {
	Epoch uint64 `json:"epoch"`
	By    string `json:"by"`
}

// Proposal asks every server that is heard to accept that edits are carried out
// elsewhere, in a new epoch.
type Proposal struct {
	Epoch uint64          `json:"epoch"`
	Age   clusterconf.Age `json:"age"`  // of the document that is to be edited
	Hash  string          `json:"hash"` // of the same
}

// Accept decides on a proposal of another server; why is "" where it is accepted.
func Accept(v View, own *Claim, last Acceptance, p Proposal, from string) (why string) {
	v = v.with(own)
	editor := v.Document.EditedOn()
	switch mine := v.Document.Age(); {
	case v.Document.Server(from) == nil:
		return fmt.Sprintf("%s is no server of the system", from)
	case mine.Compare(p.Age) > 0:
		return fmt.Sprintf("%s has a newer cluster document (%d)", v.Self, mine.Revision)
	case mine == p.Age && own.Hash != p.Hash:
		return fmt.Sprintf("%s has another cluster document of revision %d", v.Self, mine.Revision)
	case p.Epoch <= max(mine.Epoch, p.Age.Epoch):
		return fmt.Sprintf("epoch %d is over", p.Epoch)
	case last.Epoch > p.Epoch || last.Epoch == p.Epoch && last.By != from:
		return fmt.Sprintf("%s has accepted another one, by %s", v.Self, last.By)
	case mine == p.Age && editor != from && v.Peers[editor].Liveness == Alive:
		return fmt.Sprintf("%s hears %s, where edits are carried out", v.Self, editor)
	}
	return ""
}
