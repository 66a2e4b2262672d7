package manager

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mxcluster/clusterconf"
)

// MinMajor is the oldest version of PostgreSQL that has what the pair needs: slots with a
// bound, and promotion by a call.
const MinMajor = 13

// Result is what came of one check.
type Result string

// The results of checks.
const (
	OK      Result = "ok"
	Refused Result = "refused" // as it is, the redundancy cannot be set up
	Unknown Result = "unknown" // it could not be seen
)

// Finding is one check with what was found.
type Finding struct {
	Check  string `json:"check"`
	Server string `json:"server"` // "": it is about the system
	Result Result `json:"result"`
	Found  string `json:"found"`
	Remedy string `json:"remedy"` // "" where none is needed
}

// Address is the virtual address that somebody wants for the management system.
type Address struct {
	Prefix netip.Prefix
	// Answered is the MAC address of the station that has it; "": nobody answered.
	Answered string
	// Unasked is why nobody could be asked; "": somebody was.
	Unasked string
}

// Question is what is checked.
type Question struct {
	Pair    Pair
	Sights  map[Role]Sight
	Address *Address // nil: none was chosen yet
}

// Check tells what stands in the way of the redundancy, and what does not: all of it, not
// the first alone.
func Check(doc *clusterconf.Document, q Question) []Finding {
	c := checker{q: q}
	c.add("cluster", "", OK, "", "LIM %d is in cluster %s", Home, q.Pair.Cluster)
	for _, role := range []Role{Master, Standby} {
		c.postgres(role)
	}
	c.packages()
	c.versions()
	c.data()
	c.room()
	if q.Address != nil {
		c.address(doc, *q.Address)
	}
	return c.found
}

// Worst returns the most serious result among findings.
func Worst(all []Finding) Result {
	worst := OK
	for _, f := range all {
		switch f.Result {
		case Refused:
			return Refused
		case Unknown:
			worst = Unknown
		case OK:
		}
	}
	return worst
}

type checker struct {
	q     Question
	found []Finding
}

func (c *checker) add(check, server string, r Result, remedy, format string, args ...any) {
	c.found = append(c.found, Finding{Check: check, Server: server, Result: r, Found: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *checker) name(r Role) string { return c.q.Pair.Server(r).Name }

// instance returns the PostgreSQL of a role, or nil; what is wrong then is a finding of
// its own.
func (c *checker) instance(r Role) *Instance {
	i, _ := c.q.Sights[r].Instance()
	return i
}

func (c *checker) database(r Role) *Database {
	d, _ := c.q.Sights[r].database()
	return d
}

// postgres checks that a server has one PostgreSQL, of a version that will do, and that it
// answers.
func (c *checker) postgres(r Role) {
	sight, name := c.q.Sights[r], c.name(r)
	i, why := sight.Instance()
	switch {
	case sight.Node == nil:
		c.add("server", name, Unknown, "mxcluster sync setup-ssh "+name+", or run the command there", "%s could not be asked: %s", name, why)
	case i == nil && len(sight.Node.Instances) > 0:
		c.add("postgresql", name, Refused, "name the one to use by the setting manager.postgres of "+name+", such as "+sight.Node.Instances[0].Name, "%s", why)
	case i == nil:
		c.add("postgresql", name, Refused, "install the management system there, or Debian's PostgreSQL alone: "+installThere+name, "%s", why)
	case i.Major < MinMajor:
		c.add("postgresql", name, Refused, fmt.Sprintf("upgrade it to PostgreSQL %d or newer", MinMajor), "%s is version %d", i.Name, i.Major)
	case i.Database == nil:
		c.add("postgresql", name, Unknown, "start it: pg_ctlcluster "+strings.Replace(i.Name, "/", " ", 1)+" start", "%s: %s", i.Name, i.Problem)
	default:
		c.add("postgresql", name, OK, "", "%s answers on port %d", i.Name, i.Port)
	}
}

// installThere is how a server gets what is missing.
const installThere = "mxcluster manager check --install on "

// Missing lists the packages that a server of the pair lacks: PostgreSQL of the version that the other
// one has, and those that its settings ask for.
func Missing(sights map[Role]Sight, r Role) (names []string) {
	n := sights[r].Node
	if n == nil {
		return nil
	}
	if len(n.Instances) == 0 {
		names = append(names, postgresPackage(sights, r))
	}
	for _, p := range n.Packages {
		if p.Version == "" {
			names = append(names, p.Name)
		}
	}
	return names
}

// postgresPackage is that of the version that the other server has.
func postgresPackage(sights map[Role]Sight, r Role) string {
	if other, _ := sights[r.Other()].Instance(); other != nil {
		return fmt.Sprintf("postgresql-%d", other.Major)
	}
	return "postgresql"
}

// packages checks that both servers have the packages of the management system, and the same.
func (c *checker) packages() {
	asked := map[Role][]Package{}
	for r, sight := range c.q.Sights {
		if sight.Node != nil {
			asked[r] = sight.Node.Packages
		}
	}
	if len(asked[Master])+len(asked[Standby]) == 0 {
		return
	}
	const check, setting = "packages", "have the setting manager.packages be the same on both servers"
	good := true
	refuse := func(server, remedy, format string, args ...any) {
		good = false
		c.add(check, server, Refused, remedy, format, args...)
	}
	for _, r := range []Role{Master, Standby} {
		for _, p := range asked[r] {
			other, seen := asked[r.Other()]
			i := slices.IndexFunc(other, func(o Package) bool { return o.Name == p.Name })
			switch {
			case p.Version == "":
				refuse(c.name(r), installThere+c.name(r), "%s is not installed", p.Name)
			case i < 0 && seen:
				refuse(c.name(r.Other()), setting, "%s asks for %s, %s does not", c.name(r), p.Name, c.name(r.Other()))
			case i >= 0 && r == Master && other[i].Version != "" && other[i].Version != p.Version:
				refuse("", "install the same version on both servers", "%s is %s on %s, %s on %s", p.Name, p.Version, c.name(r), other[i].Version, c.name(r.Other()))
			}
		}
	}
	switch {
	case len(asked) < 2:
		c.add(check, "", Unknown, "", "the packages of one server were not seen")
	case good:
		c.add(check, "", OK, "", "%d packages on both servers", len(asked[Master]))
	}
}

// versions checks that one can follow the other: that takes the same major version.
func (c *checker) versions() {
	m, s := c.instance(Master), c.instance(Standby)
	switch {
	case m == nil || s == nil:
		c.add("version", "", Unknown, "", "PostgreSQL was not seen on both servers")
	case m.Major != s.Major:
		c.add("version", "", Refused, "install the same major version on both servers; on "+c.name(Standby)+": apt-get install "+postgresPackage(c.q.Sights, Standby)+", and name it there by the setting manager.postgres",
			"PostgreSQL %d on %s, %d on %s", m.Major, c.name(Master), s.Major, c.name(Standby))
	default:
		c.add("version", "", OK, "", "PostgreSQL %d on both servers", m.Major)
	}
}

// data checks that nothing is lost where the standby gets a copy of the master's data in the
// place of its own.
func (c *checker) data() {
	m, s, name := c.database(Master), c.database(Standby), c.name(Standby)
	switch {
	case s == nil:
		c.add("data", name, Unknown, "", "what %s has was not seen", name)
	case m != nil && m.SystemID == s.SystemID:
		c.add("data", name, OK, "", "a copy of the data of %s", c.name(Master))
	case len(s.Databases) > 0:
		c.add("data", name, Refused, "save and remove them there, or choose another PostgreSQL by manager.postgres: its data are replaced by those of "+c.name(Master),
			"databases of its own: %s", strings.Join(s.Databases, ", "))
	default:
		c.add("data", name, OK, "", "no databases of its own")
	}
}

// RoomFor returns how many bytes must be free for a copy of data.
func RoomFor(bytes int64) int64 { return bytes / 100 * 110 }

// room checks that a copy of the master's data fits.
func (c *checker) room() {
	m, s, name := c.database(Master), c.instance(Standby), c.name(Standby)
	if m != nil && s != nil && s.Database != nil && m.SystemID == s.Database.SystemID {
		c.add("room", name, OK, "", "it has a copy")
		return
	}
	if m == nil || s == nil || s.FreeBytes == nil {
		c.add("room", name, Unknown, "", "the size of the data, or the room for them, was not seen")
		return
	}
	needed := RoomFor(m.Bytes)
	if *s.FreeBytes < needed {
		c.add("room", name, Refused, "make room in the file system of "+s.DataDir, "%d MB are free, %d are needed for a copy", MB(*s.FreeBytes), MB(needed))
		return
	}
	c.add("room", name, OK, "", "%d MB are free, %d are needed for a copy", MB(*s.FreeBytes), MB(needed))
}

// MB returns bytes in megabytes, rounded up: of little something is needed.
func MB(bytes int64) int64 { return (bytes + 999_999) / 1_000_000 }

// address checks that the virtual address is nobody else's, in the document and on the wire.
func (c *checker) address(doc *clusterconf.Document, a Address) {
	const check = "address"
	addr := a.Prefix.Addr()
	if owner := owner(doc, addr); owner != "" {
		c.add(check, "", Refused, "choose an address of its own for the management system", "%s is %s", addr, owner)
		return
	}
	for _, r := range []Role{Master, Standby} {
		if s := c.q.Pair.Server(r); a.Prefix.Masked() != s.Base.Masked() {
			c.add(check, "", Refused, "choose a free address of "+s.Base.Masked().String(), "%s is not in the subnet of %s", a.Prefix, s.Name)
			return
		}
	}
	switch {
	case a.Unasked != "":
		c.add(check, "", Unknown, "", "nobody could be asked for %s: %s", addr, a.Unasked)
	case a.Answered != "":
		c.add(check, "", Refused, "free it there, or choose another", "%s is in use by %s", addr, a.Answered)
	default:
		c.add(check, "", OK, "", "%s is free", addr)
	}
}

// owner says what the document has an address for, or "".
func owner(doc *clusterconf.Document, addr netip.Addr) string {
	for _, s := range doc.Servers {
		switch {
		case s.Base.Addr() == addr:
			return "the base of " + s.Name
		case s.ReachedAt.Addr() == addr:
			return "the former base of " + s.Name
		}
	}
	for _, c := range doc.Clusters {
		for _, m := range c.LIMs {
			if m.Alias.Addr() == addr {
				return fmt.Sprintf("the alias of LIM %d", m.LIM)
			}
		}
	}
	for _, l := range doc.LIMs {
		if ms := l.MediaServer; ms != nil && (ms.Media == addr || ms.Control == addr) {
			return fmt.Sprintf("of the media server of LIM %d", l.Number)
		}
	}
	return ""
}
