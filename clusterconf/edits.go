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
	case baseProblem(s.Base) != "":
		return fault.New(fault.Usage, "give the address of a host with its prefix length, e.g. 10.0.0.11/24",
			"base %s of server %s %s", s.Base, s.Name, baseProblem(s.Base))
	case !validInterface(s.Interface):
		return fault.New(fault.Usage, "name a network interface of the server, e.g. eth0",
			"%q is not an interface name", s.Interface)
	case s.LIM != 0 && !validLIM(s.LIM):
		return badLIM(s.LIM)
	case s.Standby:
		return fault.New(fault.Usage, "add it as a free server, then mxcluster server to-standby "+s.Name,
			"server %s cannot be added as a standby", s.Name)
	}
	return nil
}

func validLIM(number int) bool { return number >= 1 && number <= MaxLIMNumber }

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

// ToFree makes a standby server a free one (spec ch. 10, "Remove a Cluster").
func (d *Document) ToFree(name string) error {
	s, err := d.needServer(name)
	if err != nil {
		return err
	}
	c := d.ClusterOfServer(name)
	switch {
	case s.Role() == RoleRegular:
		return fault.New(fault.Refused, "name a standby server: mxcluster server list",
			"cannot make %s a free server: it is the regular server of LIM %d", name, s.LIM)
	case c != nil:
		return fault.New(fault.Refused, "delete the cluster first: mxcluster delete "+c.Name,
			"cannot make %s a free server: it is the standby of cluster %s", name, c.Name)
	}
	s.Standby = false
	return nil
}

// RemoveServer removes a server that no cluster uses, and with a regular server
// the software entry of its LIM.
func (d *Document) RemoveServer(name string) error {
	s, err := d.needServer(name)
	if err != nil {
		return err
	}
	c := d.ClusterOfServer(name)
	switch {
	case c != nil && s.Role() == RoleStandby:
		return fault.New(fault.Refused, "delete the cluster first: mxcluster delete "+c.Name,
			"cannot remove server %s: it is the standby of cluster %s", name, c.Name)
	case c != nil:
		return fault.New(fault.Refused, fmt.Sprintf("take its LIM out of the cluster first: mxcluster remove-lim %s %d", c.Name, s.LIM),
			"cannot remove server %s: it is the regular server of LIM %d in cluster %s", name, s.LIM, c.Name)
	case len(d.Servers) == 1:
		return fault.New(fault.Refused, "add another server first: mxcluster server add",
			"cannot remove server %s: it is the only one of the system", name)
	}
	if d.Editor == name {
		d.Editor = ""
	}
	lim := s.LIM
	d.LIMs = slices.DeleteFunc(d.LIMs, func(l LIM) bool { return l.Number == lim })
	d.Servers = slices.DeleteFunc(d.Servers, func(s Server) bool { return s.Name == name })
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

// needCluster returns the cluster of that name, or a NotFound error.
func (d *Document) needCluster(name string) (*Cluster, error) {
	if c := d.Cluster(name); c != nil {
		return c, nil
	}
	names := make([]string, len(d.Clusters))
	for i, c := range d.Clusters {
		names[i] = c.Name
	}
	return nil, fault.New(fault.NotFound, didYouMean(name, names, "mxcluster list"), "there is no cluster %q", name)
}

// needMember returns the LIM's place in its cluster, nil for one that is in no
// cluster, or a NotFound error where the system has no such LIM.
func (d *Document) needMember(lim int) (*Member, error) {
	if c := d.ClusterOfLIM(lim); c != nil {
		return c.Member(lim), nil
	}
	_, err := d.needRegular(lim)
	return nil, err
}

func (d *Document) serverNames() []string {
	names := make([]string, len(d.Servers))
	for i, s := range d.Servers {
		names[i] = s.Name
	}
	return names
}
