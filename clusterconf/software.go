package clusterconf

import (
	"net/netip"
	"slices"

	"mxcluster/internal/fault"
)

// MediaServerKind says where a LIM's media server runs (spec ch. 2).
type MediaServerKind string

// The kinds of media server. A document says none by leaving the media server
// out.
const (
	MediaServerNone       MediaServerKind = "none"
	MediaServerColocated  MediaServerKind = "colocated"  // with the LIM, started by the standby too
	MediaServerStandalone MediaServerKind = "standalone" // on a server of its own, controlled from where the LIM runs
)

// MediaServer is the software media gateway of a LIM.
type MediaServer struct {
	Kind    MediaServerKind `yaml:"kind" json:"kind"`
	Media   netip.Addr      `yaml:"media" json:"media"`     // address of its media interface
	Control netip.Addr      `yaml:"control" json:"control"` // address of its control interface

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// SetServices replaces the software of a LIM.
func (d *Document) SetServices(lim int, services []Service) error {
	for _, s := range services {
		if !validService(s.Run) {
			return fault.New(fault.Usage, "write "+ServiceSyntax, "%q is not a service", s.Run)
		}
	}
	return d.setSoftware(lim, func(l *LIM) {
		former := l.Services
		l.Services = slices.Clone(services)
		for i := range l.Services {
			if k := slices.IndexFunc(former, func(s Service) bool { return s.Run == l.Services[i].Run }); k >= 0 {
				l.Services[i].Others = former[k].Others
			}
		}
	})
}

// SetMediaServer sets the media server of a LIM. The addresses of a co-located
// one may be left out: they are those of the LIM.
func (d *Document) SetMediaServer(lim int, m MediaServer) error {
	switch {
	case m.Kind == MediaServerNone:
		if m.Media.IsValid() || m.Control.IsValid() {
			return fault.New(fault.Usage, "leave out the addresses", "LIM %d can have no media server and addresses of one", lim)
		}
		return d.setSoftware(lim, func(l *LIM) { l.MediaServer = nil })
	case !slices.Contains(mediaServerKinds, m.Kind):
		return fault.New(fault.Usage, "write none, "+alternatives(mediaServerKinds), "%q is not a kind of media server", string(m.Kind))
	}
	if err := m.complete(d, lim); err != nil {
		return err
	}
	return d.setSoftware(lim, func(l *LIM) {
		if l.MediaServer != nil {
			m.Others = l.MediaServer.Others
		}
		l.MediaServer = &m
	})
}

// complete fills in the addresses that were left out and refuses
// those that cannot be had.
func (m *MediaServer) complete(d *Document, lim int) error {
	if !validLIM(lim) {
		return badLIM(lim)
	}
	if _, err := d.needRegular(lim); err != nil {
		return err
	}
	own, clustered := d.homeOf(lim)
	for _, a := range []struct {
		what string
		addr *netip.Addr
	}{{"media", &m.Media}, {"control", &m.Control}} {
		if !a.addr.IsValid() && m.Kind == MediaServerColocated {
			*a.addr = own
		}
		switch problem := addrProblem(*a.addr); {
		case !a.addr.IsValid():
			return fault.New(fault.Usage, "give --media-address and --control-address", "the media server of LIM %d has no %s address", lim, a.what)
		case problem != "":
			return fault.New(fault.Usage, "give the address of a host", "the %s address %s %s", a.what, a.addr, problem)
		case m.Kind == MediaServerColocated && clustered && *a.addr != own:
			return fault.New(fault.Refused, "leave the addresses out, or give "+own.String(),
				"cannot set the media server of LIM %d: co-located, its %s address must be the LIM's alias, %s, not %s", lim, a.what, own, a.addr)
		case m.Kind == MediaServerStandalone && d.ownerOf(*a.addr) != "":
			return fault.New(fault.Refused, "give the address of the media server's own machine, or --media-server colocated",
				"cannot set the media server of LIM %d: its %s address %s is %s", lim, a.what, a.addr, d.ownerOf(*a.addr))
		}
	}
	return nil
}

// SetGateways replaces the media gateways of a LIM. Their order has no meaning.
func (d *Document) SetGateways(lim int, ids []string) error {
	ids = slices.Sorted(slices.Values(ids))
	for i, id := range ids {
		switch {
		case !validName(id):
			return fault.New(fault.Usage, nameHint, "gateway identity %q is not valid", id)
		case i > 0 && ids[i-1] == id:
			return fault.New(fault.Usage, "name each gateway once", "gateway %s is given twice", id)
		}
	}
	return d.setSoftware(lim, func(l *LIM) { l.Gateways = ids })
}

// SetChecks replaces the programs, as exec:PATH, that tell whether a server is fit to run
// a LIM; none: every server is.
func (d *Document) SetChecks(lim int, list []string) error {
	for i, text := range list {
		switch {
		case !validCheck(text):
			return fault.New(fault.Usage, "write "+CheckSyntax, "%q is not a check", text)
		case slices.Index(list, text) < i:
			return fault.New(fault.Usage, "name each check once", "check %s is given twice", text)
		}
	}
	return d.setSoftware(lim, func(l *LIM) { l.Checks = slices.Clone(list) })
}

// SetPrompts sets the folder in which a LIM's announcement prompts lie, on its regular
// server and on the standby; "" for none.
func (d *Document) SetPrompts(lim int, dir string) error {
	if dir != "" && !validPrompts(dir) {
		return fault.New(fault.Usage, promptsHint, "folder of announcement prompts %q is not a full path", dir)
	}
	return d.setSoftware(lim, func(l *LIM) { l.Prompts = dir })
}

// setSoftware changes a LIM's entry. It makes one where there is none, and
// removes one that says nothing.
func (d *Document) setSoftware(lim int, change func(*LIM)) error {
	if !validLIM(lim) {
		return badLIM(lim)
	}
	if _, err := d.needRegular(lim); err != nil {
		return err
	}
	entry := LIM{Number: lim}
	if old := d.LIM(lim); old != nil {
		entry = *old
	}
	change(&entry)
	d.LIMs = slices.DeleteFunc(d.LIMs, func(l LIM) bool { return l.Number == lim })
	if len(entry.Services) > 0 || len(entry.Checks) > 0 || entry.MediaServer != nil || len(entry.Gateways) > 0 || entry.Prompts != "" || entry.Rehearsable || entry.Others != "" {
		d.LIMs = append(d.LIMs, entry)
	}
	return nil
}

// homeOf returns the address at which clients find a LIM: its alias in a
// cluster, else the base of its server. Entering and leaving a cluster does
// not change it.
func (d *Document) homeOf(lim int) (a netip.Addr, clustered bool) {
	if c := d.ClusterOfLIM(lim); c != nil {
		return c.Member(lim).Alias.Addr(), true
	}
	if s := d.RegularOf(lim); s != nil {
		return s.Base.Addr(), false
	}
	return netip.Addr{}, false
}
