package clusterconf

import "strings"

// Called returns the names of the servers that a host which calls itself so may be: the
// one of just that name; else those that differ in case alone; else those where one of
// both names has a domain and the other none. Two domains that differ are two hosts.
func (d *Document) Called(host string) []string {
	if d.Server(host) != nil {
		return []string{host}
	}
	if same := d.serversWhere(func(name string) bool { return strings.EqualFold(name, host) }); len(same) > 0 {
		return same
	}
	short, domain, _ := strings.Cut(host, ".")
	return d.serversWhere(func(name string) bool {
		first, rest, _ := strings.Cut(name, ".")
		return strings.EqualFold(first, short) && (rest == "" || domain == "")
	})
}

func (d *Document) serversWhere(is func(name string) bool) (names []string) {
	for _, s := range d.Servers {
		if is(s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
