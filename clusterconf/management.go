package clusterconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mxcluster/internal/fault"
)

// ManagementLIM is the LIM whose servers the management system runs on (spec ch. 9).
const ManagementLIM = 1

// Management is the redundancy of the management system (PM/SNM) on the regular server of
// LIM 1 and the standby of its cluster. Passwords are never in it.
type Management struct {
	Address         netip.Prefix `yaml:"address" json:"address"`                             // virtual address; moves with the server that accepts writes
	ReplicationUser string       `yaml:"replicationUser" json:"replicationUser"`             // role of PostgreSQL that the two servers follow each other by
	Synchronous     bool         `yaml:"synchronous,omitempty" json:"synchronous,omitempty"` // a commit waits until the other server has it
	Fallback        FallbackType `yaml:"fallback" json:"fallback"`                           // to the regular server, once LIM 1 is there

	Others Foreign `yaml:"-" json:"-" level:"2"`
}

// SetManagement makes the management system redundant, or changes how.
func (d *Document) SetManagement(m Management) error {
	if d.ClusterOfLIM(ManagementLIM) == nil {
		return fault.New(fault.Refused, "put LIM 1 into a cluster first: mxcluster create, or mxcluster add-lim",
			"cannot set the management system: LIM %d is in no cluster", ManagementLIM)
	}
	if was := d.Management; was != nil {
		m.Others = was.Others
	}
	d.Management = &m
	return nil
}

// text says all of it on one line.
func (m *Management) text() string {
	if m == nil {
		return ""
	}
	how := "asynchronous"
	if m.Synchronous {
		how = "synchronous"
	}
	return fmt.Sprintf("reached at %s, replicated by role %s, %s, fallback %s", m.Address, m.ReplicationUser, how, m.Fallback) + m.Others.beside()
}

// reservedRoles mean something else to PostgreSQL.
func reservedRoles() []string {
	return []string{"all", "replication", "sameuser", "samerole", "samegroup", "public", "none", "postgres", "user", "current_user", "session_user"}
}

// validRole tells whether a name can be that of the replication role: in files and
// statements of PostgreSQL it needs no quotes.
func validRole(name string) bool {
	const small = "abcdefghijklmnopqrstuvwxyz_"
	return len(name) <= MaxName && madeOf(name, small+digits) && strings.IndexByte(small, name[0]) >= 0 &&
		!strings.HasPrefix(name, "pg_") && !slices.Contains(reservedRoles(), name)
}

// checkManagement holds the management system to what the specification asks for (ch. 9):
// LIM 1 in a cluster, and a virtual address of its own.
func checkManagement(d *Document, report reportFunc) {
	m := d.Management
	if m == nil {
		return
	}
	if !validRole(m.ReplicationUser) {
		report("management.replicationUser", "use small letters, digits and underscores, e.g. mxone_replication", "%q cannot be the name of the replication role", m.ReplicationUser)
	}
	if m.Fallback != FallbackManual && m.Fallback != FallbackAutomatic {
		report("management.fallback", "write manual or automatic", "fallback must be manual or automatic, not %q", m.Fallback)
	}
	const path, hint = "management.address", "choose a free address of its own, in the subnet of the two servers"
	if problem := hostProblem(m.Address); problem != "" {
		report(path, hint, "the virtual address of the management system, %s, %s", m.Address, problem)
		return
	}
	addr := m.Address.Addr()
	for _, u := range d.addresses() {
		if u.prefix.Addr() == addr {
			report(path, hint, "%s is the virtual address of the management system and %s", addr, u)
		}
	}
	for _, s := range d.Servers {
		if s.ReachedAt.Addr() == addr {
			report(path, hint, "%s is the virtual address of the management system and the former base of %s", addr, s.Name)
		}
	}
	for _, a := range d.mediaAddresses() {
		if a.addr == addr {
			report(path, hint, "%s is the virtual address of the management system and of the media server of LIM %d", addr, a.lim)
		}
	}
}

// checkManagementPair looks for the two servers.
func checkManagementPair(d *Document, report reportFunc) {
	m, c := d.Management, d.ClusterOfLIM(ManagementLIM)
	switch {
	case m == nil:
		return
	case c == nil:
		report("management", "remove the redundancy of the management system first: mxcluster manager remove",
			"the management system is redundant only while LIM %d is in a cluster", ManagementLIM)
		return
	}
	for _, s := range []*Server{d.RegularOf(ManagementLIM), d.Server(c.Standby)} {
		if s != nil && s.Base.IsValid() && m.Address.IsValid() && !sameSubnet(s.Base, m.Address) {
			report("management.address", "choose a free address of "+s.Base.Masked().String(),
				"the virtual address of the management system, %s, is not in %s, the subnet of %s", m.Address, s.Base.Masked(), s.Name)
			return
		}
	}
}

// checkManagementServices keeps PostgreSQL out of LIMs: the agent decides by itself which of
// the two servers accepts writes.
func checkManagementServices(d *Document, report reportFunc) {
	if d.Management == nil {
		return
	}
	for i, l := range d.LIMs {
		for j, s := range l.Services {
			if unit, ok := strings.CutPrefix(s.Run, "systemd:"); ok && strings.HasPrefix(unit, "postgresql") {
				report(at(at("lims", i)+".services", j)+".run", "take it off: mxcluster lim set, with the services that remain",
					"%s of LIM %d belongs to the management system, which is redundant by itself", s.Run, l.Number)
			}
		}
	}
}
