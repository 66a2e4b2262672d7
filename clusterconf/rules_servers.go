package clusterconf

import "strings"

func checkHasServer(d *Document, report reportFunc) {
	if len(d.Servers) == 0 {
		report("servers", "mxcluster init", "the system has no server")
	}
}

func checkServerNames(d *Document, report reportFunc) {
	for i, s := range d.Servers {
		if !validName(s.Name) {
			report(at("servers", i)+".name", nameHint, "server name %q is not valid", s.Name)
		}
	}
}

func checkServersOnce(d *Document, report reportFunc) {
	seen := map[string]bool{}
	for i, s := range d.Servers {
		if seen[s.Name] {
			report(at("servers", i)+".name", "give every server a name of its own", "there are two servers named %s", s.Name)
		}
		seen[s.Name] = true
	}
}

// longestInterface is that of an alternative name; the kernel's own have 15 bytes at
// the most.
const longestInterface = 127

// validInterface follows the kernel's dev_valid_name. An interface may be named by one
// of its alternative names, too.
func validInterface(s string) bool {
	return s != "" && len(s) <= longestInterface && s != "." && s != ".." && printable(s) && !strings.ContainsAny(s, "/: ")
}

func checkInterfaces(d *Document, report reportFunc) {
	for i, s := range d.Servers {
		if !validInterface(s.Interface) {
			report(at("servers", i)+".interface", "name a network interface of the server, e.g. eth0",
				"%q is not an interface name", s.Interface)
		}
	}
}

func checkServerRoles(d *Document, report reportFunc) {
	for i, s := range d.Servers {
		if s.Standby && s.LIM != 0 {
			report(at("servers", i)+".standby", "give the LIM to another server, or make this one no standby",
				"%s has LIM %d and is marked as standby, it can be one of the two", s.Name, s.LIM)
		}
	}
}

// checkLIMNumbers covers all places where a LIM's number stands.
func checkLIMNumbers(d *Document, report reportFunc) {
	check := func(path string, number int) {
		if !validLIM(number) {
			report(path, "", "LIM number %d is not from 1 to %d", number, MaxLIMNumber)
		}
	}
	for i, s := range d.Servers {
		if s.LIM != 0 {
			check(at("servers", i)+".lim", s.LIM)
		}
	}
	for i, l := range d.LIMs {
		check(at("lims", i)+".lim", l.Number)
	}
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			check(memberPath(i, j)+".lim", m.LIM)
		}
	}
}

func checkLIMOneServer(d *Document, report reportFunc) {
	regular := map[int]string{}
	for i, s := range d.Servers {
		if s.LIM == 0 {
			continue
		}
		if first, taken := regular[s.LIM]; taken {
			report(at("servers", i)+".lim", "give every server a LIM of its own",
				"LIM %d is on %s and on %s", s.LIM, first, s.Name)
			continue
		}
		regular[s.LIM] = s.Name
	}
}

func checkLIMsOnce(d *Document, report reportFunc) {
	seen := map[int]bool{}
	for i, l := range d.LIMs {
		if seen[l.Number] {
			report(at("lims", i)+".lim", "merge the two entries", "there are two entries for LIM %d", l.Number)
		}
		seen[l.Number] = true
	}
}

func checkLIMServers(d *Document, report reportFunc) {
	for i, l := range d.LIMs {
		if d.RegularOf(l.Number) == nil {
			report(at("lims", i)+".lim", "remove the entry, or give the LIM to a server",
				"LIM %d is on no server", l.Number)
		}
	}
}
