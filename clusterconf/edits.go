package clusterconf

import (
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/fault"
)

// The edits change a document in memory and touch it only when all their
// preconditions hold. Their errors have code fault.Refused where a rule or
// precondition does not hold, fault.NotFound where something named does not
// exist, and fault.Usage where a value is wrong whatever the document says.
// An edit whose outcome is there already changes nothing and is no error.

// New returns the first document of a system with one server. The system's
// identity must be random, for it is what keeps two systems apart.
func New(system string, first Server) *Document {
	return &Document{
		APIVersion: APIVersion,
		Kind:       Kind,
		System:     system,
		Revision:   1,
		Servers:    []Server{first},
	}
}

// AddServer adds a server: a regular one if it has a LIM, else a free one.
func (d *Document) AddServer(s Server) error {
	if err := usableServer(s); err != nil {
		return err
	}
	if old := d.Server(s.Name); old != nil {
		if old.Base == s.Base && old.Interface == s.Interface && old.LIM == s.LIM {
			return nil
		}
		return fault.New(fault.Refused, "choose another name, or remove that server first",
			"cannot add server %s: there is one of that name with base %s on %s%s",
			s.Name, old.Base, old.Interface, limSuffix(old.LIM))
	}
	if user := d.userOf(s.Base.Addr()); user != "" {
		return fault.New(fault.Refused, "give the server an address of its own",
			"cannot add server %s: %s is %s", s.Name, s.Base.Addr(), user)
	}
	if other := d.RegularOf(s.LIM); other != nil {
		return fault.New(fault.Refused, "give the server another LIM, or none",
			"cannot add server %s: LIM %d is on %s", s.Name, s.LIM, other.Name)
	}
	d.Servers = append(d.Servers, s)
	return nil
}

// usableServer checks what can be said of a server without the document.
func usableServer(s Server) error {
	switch {
	case !validName(s.Name):
		return fault.New(fault.Usage, nameHint, "server name %q is not valid", s.Name)
	case hostProblem(s.Base) != "":
		return fault.New(fault.Usage, "give the address of a host with its prefix length, e.g. 10.0.0.11/24",
			"base %s of server %s %s", s.Base, s.Name, hostProblem(s.Base))
	case !validInterface(s.Interface):
		return fault.New(fault.Usage, "name a network interface of the server, e.g. eth0",
			"%q is not an interface name", s.Interface)
	case s.LIM < 0 || s.LIM > MaxLIMNumber:
		return badLIM(s.LIM)
	case s.Standby:
		return fault.New(fault.Usage, "add it as a free server, then mxcluster server to-standby "+s.Name,
			"server %s cannot be added as a standby", s.Name)
	}
	return nil
}

func badLIM(number int) error {
	return fault.New(fault.Usage, "", "LIM number %d is not from 1 to %d", number, MaxLIMNumber)
}

func limSuffix(lim int) string {
	if lim == 0 {
		return ""
	}
	return fmt.Sprintf(" and LIM %d", lim)
}

// ToStandby makes a free server a standby (spec ch. 10, "Add a Cluster").
func (d *Document) ToStandby(name string) error {
	s, err := d.needServer(name)
	if err != nil {
		return err
	}
	if s.Role() == RoleRegular {
		return fault.New(fault.Refused, "take a free server: mxcluster server list",
			"cannot make %s a standby: it is the regular server of LIM %d", name, s.LIM)
	}
	s.Standby = true
	return nil
}

// SetServices replaces the software of a LIM. None at all removes the LIM's
// entry.
func (d *Document) SetServices(lim int, services []Service) error {
	if lim < 1 || lim > MaxLIMNumber {
		return badLIM(lim)
	}
	for _, s := range services {
		if !validService(s.Run) {
			return fault.New(fault.Usage, "write "+ServiceSyntax, "%q is not a service", s.Run)
		}
	}
	if _, err := d.needRegular(lim); err != nil {
		return err
	}
	d.LIMs = slices.DeleteFunc(d.LIMs, func(l LIM) bool { return l.Number == lim })
	if len(services) > 0 {
		d.LIMs = append(d.LIMs, LIM{Number: lim, Services: slices.Clone(services)})
	}
	return nil
}

// needServer returns the server of that name, or a NotFound error.
func (d *Document) needServer(name string) (*Server, error) {
	if s := d.Server(name); s != nil {
		return s, nil
	}
	return nil, fault.New(fault.NotFound, didYouMean(name, d.serverNames(), "mxcluster server list"),
		"there is no server %q", name)
}

// needRegular returns the regular server of a LIM, or a NotFound error.
func (d *Document) needRegular(lim int) (*Server, error) {
	if s := d.RegularOf(lim); s != nil {
		return s, nil
	}
	var have []string
	for _, s := range d.Servers {
		if s.LIM != 0 {
			have = append(have, fmt.Sprint(s.LIM))
		}
	}
	hint := "the system has no LIM; add one: mxcluster server add SRV --base ADDR/LEN --interface IF --lim N"
	if len(have) > 0 {
		hint = "the system has LIM " + strings.Join(have, ", ")
	}
	return nil, fault.New(fault.NotFound, hint, "there is no LIM %d", lim)
}

func (d *Document) serverNames() []string {
	names := make([]string, len(d.Servers))
	for i, s := range d.Servers {
		names[i] = s.Name
	}
	return names
}
