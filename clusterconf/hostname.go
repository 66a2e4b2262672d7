package clusterconf

import (
	"slices"
	"strings"
)

// Called returns the names of the servers that a host which calls itself so may be: the
// one of just that name; else those that differ in case alone; else those where one of
// both names has a domain and the other none. Two domains that differ are two hosts.
func (d *Document) Called(host string) []string {
	if d.Server(host) != nil {
		return []string{host}
	}
	other := func(name string) bool { return !strings.EqualFold(name, host) }
	if same := slices.DeleteFunc(d.serverNames(), other); len(same) > 0 {
		return same
	}
	short, domain, _ := strings.Cut(host, ".")
	return slices.DeleteFunc(d.serverNames(), func(name string) bool {
		first, rest, _ := strings.Cut(name, ".")
		return !strings.EqualFold(first, short) || rest != "" && domain != ""
	})
}
