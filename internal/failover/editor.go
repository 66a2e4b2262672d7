package failover

import (
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// EditorPlace is the server that carries out edits of the cluster document, as one server sees it.
type EditorPlace struct {
	Server string // "": none at present
	Raise  bool   // in a new epoch, as the editor is gone
	Probe  bool   // with Raise: no server supervises the editor, so its base address must be probed first
	Why    string // with Server "": the reason
	Hint   string // the remedy for that
}

// EditPlace returns where edits are carried out: on the document's editor while it is heard; if it
// is gone, on one of the servers that supervise it. own is this server's claim.
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
		return EditorPlace{Server: successor, Raise: true} // it knows that the editor is gone
	case successor == "":
	case supervised && !v.lost(p):
		nobody.Why = fmt.Sprintf("edits are carried out on %s, whose agent is silent although that server may be up", editor)
	default:
		return EditorPlace{Server: v.Self, Raise: true, Probe: !supervised}
	}
	return nobody
}

// successor returns the server that carries out edits when the editor is gone: of the servers that
// supervise the editor the one where LIM 1 is, else the standby of its cluster, else the first by
// name; if none supervises it, the first of all servers. "": no candidate is heard.
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

// Acceptance is an epoch that a server has accepted, and its proposer. A server accepts one
// proposal for each epoch, and none for an earlier epoch.
type Acceptance struct {
	Epoch uint64 `json:"epoch"`
	By    string `json:"by"`
}

// Proposal asks every server that is heard to accept a new editor, in a new epoch.
type Proposal struct {
	Epoch uint64          `json:"epoch"`
	Age   clusterconf.Age `json:"age"`  // of the document to be edited
	Hash  string          `json:"hash"` // of the same document
}

// Accept decides about another server's proposal; why is "" if it is accepted.
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
