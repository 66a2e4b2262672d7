package clusterconf

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// mediaServerKinds are those that a document can have.
var mediaServerKinds = []MediaServerKind{MediaServerColocated, MediaServerStandalone}

// mediaAddress is one of the two addresses of a media server.
type mediaAddress struct {
	lim  int
	key  string // media or control
	kind MediaServerKind
	addr netip.Addr
	path string
}

// mediaAddresses lists the addresses of all media servers.
func (d *Document) mediaAddresses() []mediaAddress {
	var all []mediaAddress
	for i, l := range d.LIMs {
		if m := l.MediaServer; m != nil {
			path := at("lims", i) + ".mediaServer."
			all = append(all,
				mediaAddress{l.Number, "media", m.Kind, m.Media, path + "media"},
				mediaAddress{l.Number, "control", m.Kind, m.Control, path + "control"})
		}
	}
	return all
}

// addrProblem is hostProblem for an address whose subnet is not known.
func addrProblem(a netip.Addr) string {
	if !a.IsValid() {
		return "is not an address"
	}
	return hostProblem(netip.PrefixFrom(a, a.BitLen()))
}

func checkMediaServers(d *Document, report reportFunc) {
	for _, m := range d.mediaAddresses() {
		if problem := addrProblem(m.addr); problem != "" {
			report(m.path, "give the address of a host, e.g. 10.0.0.11",
				"the %s address of the media server of LIM %d, %s, %s", m.key, m.lim, m.addr, problem)
		}
	}
}

// checkMediaServerAliases: the standby starts a co-located media server
// properly only if both its addresses move with the LIM (spec ch. 2).
func checkMediaServerAliases(d *Document, report reportFunc) {
	for _, m := range d.mediaAddresses() {
		alias, clustered := d.homeOf(m.lim)
		if m.kind == MediaServerColocated && clustered && m.addr.IsValid() && m.addr != alias {
			report(m.path, fmt.Sprintf("write %s, or make the media server standalone", alias),
				"the %s address of the co-located media server of LIM %d is %s, not the LIM's alias %s", m.key, m.lim, m.addr, alias)
		}
	}
}

// mediaServerProblem says why the LIM's media server could not follow it when
// alias became its alias, or "".
func (d *Document) mediaServerProblem(lim int, alias netip.Addr) string {
	for _, m := range d.mediaAddresses() {
		if m.lim == lim && m.kind == MediaServerColocated && m.addr != alias {
			return fmt.Sprintf("the %s address of the co-located media server of LIM %d is %s, not %s", m.key, lim, m.addr, alias)
		}
	}
	return ""
}

// checkMediaServersApart: a media server on a machine of its own has an address
// of its own. Its two interfaces may share one, and so may the LIMs it serves.
func checkMediaServersApart(d *Document, report reportFunc) {
	for _, m := range d.mediaAddresses() {
		if m.kind != MediaServerStandalone {
			continue
		}
		if owner := d.ownerOf(m.addr); owner != "" {
			report(m.path, "give the address of the media server's own machine, or make it colocated",
				"the %s address of the stand-alone media server of LIM %d, %s, is %s", m.key, m.lim, m.addr, owner)
		}
	}
}

func checkGateways(d *Document, report reportFunc) {
	for i, l := range d.LIMs {
		for j, id := range l.Gateways {
			path := at(at("lims", i)+".gateways", j)
			switch {
			case !validName(id):
				report(path, nameHint, "gateway identity %q is not valid", id)
			case slices.Contains(l.Gateways[:j], id):
				report(path, "name each gateway once", "gateway %s of LIM %d is given twice", id, l.Number)
			}
		}
	}
}

const promptsHint = "give the folder's full path, e.g. /var/lib/prompts"

func checkPrompts(d *Document, report reportFunc) {
	for i, l := range d.LIMs {
		if l.Prompts != "" && !validPrompts(l.Prompts) {
			report(at("lims", i)+".prompts", promptsHint, "folder of announcement prompts of LIM %d: %q is not a full path", l.Number, l.Prompts)
		}
	}
}

func validPrompts(dir string) bool {
	return filepath.IsAbs(dir) && filepath.Clean(dir) == dir && !strings.ContainsFunc(dir, unicode.IsControl)
}
