// Package netfiles finds out what brings an address up on a server: it reads the files
// of the tools that configure networks. It changes nothing, and reads by lines: what
// those tools would make of a file as a whole is not asked.
package netfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Finding is a line that brings an address up.
type Finding struct {
	Tool   string // such as NetworkManager
	File   string // with its path from the root
	Line   int    // from 1 on
	Remedy string // what to do, in words
}

// String is a sentence for an alarm.
func (f Finding) String() string {
	return fmt.Sprintf("%s brings it up (%s, line %d): %s", f.Tool, f.File, f.Line, f.Remedy)
}

// maxFile bounds what is read of one file, in bytes; maxFiles how many of one place.
const (
	maxFile  = 256 << 10
	maxFiles = 1000
)

// source is where a tool has its files, and how a line of one brings up an address.
type source struct {
	tool     string
	patterns []string // of package path, from the root
	line     func(line string, addr netip.Addr) bool
	remedy   string
}

// sources are all tools, those whose files others are made of first.
var sources = []source{
	{"cloud-init", []string{"etc/netplan/50-cloud-init.yaml", "etc/network/interfaces.d/50-cloud-init*", "etc/cloud/cloud.cfg.d/*.cfg", "var/lib/cloud/seed/*/network-config"}, anyLine,
		"change its network configuration, or end it (network: {config: disabled} in /etc/cloud/cloud.cfg.d), and take the address out there"},
	{"netplan", []string{"etc/netplan/*.yaml", "run/netplan/*.yaml", "lib/netplan/*.yaml", "usr/lib/netplan/*.yaml"}, netplanLine, "take the address out there, then `netplan apply`"},
	{"systemd-networkd", []string{"etc/systemd/network/*.network", "etc/systemd/network/*.network.d/*.conf", "run/systemd/network/*.network", "run/systemd/network/*.network.d/*.conf", "usr/local/lib/systemd/network/*.network", "usr/lib/systemd/network/*.network"},
		networkdLine, "take the address out there, then `networkctl reload`"},
	{"NetworkManager", []string{"etc/NetworkManager/system-connections/*", "run/NetworkManager/system-connections/*", "usr/lib/NetworkManager/system-connections/*", "etc/sysconfig/network-scripts/ifcfg-*"},
		managerLine, "take the address out of the profile (`nmcli connection modify NAME -ipv4.addresses ADDRESS`)"},
	{"wicked", []string{"etc/sysconfig/network/ifcfg-*", "etc/wicked/ifconfig/*.xml"}, wickedLine, "take the address out there, then `wicked ifreload all`"},
	{"ifupdown", []string{"etc/network/interfaces", "etc/network/interfaces.d/*"}, ifupdownLine, "take the address out there"},
}

// Find returns the lines of a server's files that bring the address up, one for each
// file; root is the server's file system. Files that cannot be read are left out, and
// named in the error beside what was found.
func Find(root fs.FS, addr netip.Addr) ([]Finding, error) {
	var all []Finding
	var failed []error
	seen := map[string]bool{}
	for _, s := range sources {
		for _, pattern := range s.patterns {
			files, err := fs.Glob(root, pattern)
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", pattern, err)
			}
			for _, file := range files[:min(len(files), maxFiles)] {
				if seen[file] {
					continue
				}
				seen[file] = true
				line, err := lineOf(root, file, func(text string) bool { return s.line(text, addr) })
				if err != nil {
					failed = append(failed, fmt.Errorf("reading /%s: %w", file, err))
				} else if line > 0 {
					all = append(all, Finding{Tool: s.tool, File: "/" + file, Line: line, Remedy: s.remedy})
				}
			}
		}
	}
	return all, errors.Join(failed...)
}

// lineOf returns the first line of a file for which match holds, 0 if there is none.
func lineOf(root fs.FS, file string, match func(string) bool) (int, error) {
	f, err := root.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return 0, err
	}
	for i, text := range strings.Split(string(raw), "\n") {
		text = strings.TrimSpace(text)
		if text != "" && !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, ";") && match(text) {
			return i + 1, nil
		}
	}
	return 0, nil
}

// names reports whether a text has the address as a word, with or without a length.
func names(text string, addr netip.Addr) bool {
	text, _, _ = strings.Cut(text, " #")
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r=,;\"'[]{}()", r) })
	return slices.ContainsFunc(words, func(w string) bool {
		w, _, _ = strings.Cut(w, "/")
		a, err := netip.ParseAddr(strings.TrimSuffix(w, ":"))
		return err == nil && a == addr
	})
}

// keyed splits KEY=VALUE.
func keyed(line string) (key, value string) {
	key, value, _ = strings.Cut(line, "=")
	return strings.ToLower(strings.TrimSpace(key)), value
}

func anyLine(line string, addr netip.Addr) bool {
	return names(line, addr) && netplanLine(line, addr)
}

// netplanLine matches YAML that lists addresses: not routes and gateways over one.
func netplanLine(line string, addr netip.Addr) bool {
	key, _, keyed := strings.Cut(strings.TrimLeft(line, "- "), ":")
	if addr.Is4() && keyed && slices.Contains([]string{"via", "to", "from", "gateway", "gateway4", "gateway6", "nameservers", "dns-nameservers"}, strings.TrimSpace(key)) {
		return false
	}
	return names(line, addr)
}

func networkdLine(line string, addr netip.Addr) bool {
	key, value := keyed(line)
	return key == "address" && names(value, addr)
}

// managerLine matches key files (address1=ADDRESS/LENGTH,GATEWAY; address-data of new
// ones) and the older ifcfg files (IPADDR, IPADDR0).
func managerLine(line string, addr netip.Addr) bool {
	key, value := keyed(line)
	switch {
	case strings.HasPrefix(key, "address"):
		first, _, _ := strings.Cut(value, ",")
		return names(first, addr)
	case strings.HasPrefix(key, "ipaddr"), key == "ipv6addr", key == "ipv6addr_secondaries":
		return names(value, addr)
	}
	return false
}

// wickedLine matches ifcfg files (IPADDR, IPADDR_1), and wicked's own (<local>ADDRESS/LENGTH</local>).
func wickedLine(line string, addr netip.Addr) bool {
	if value, own := strings.CutPrefix(line, "<local>"); own {
		value, _, _ = strings.Cut(value, "<")
		return names(value, addr)
	}
	key, value := keyed(line)
	return strings.HasPrefix(key, "ipaddr") && names(value, addr)
}

// ifupdownLine matches `address ADDRESS`, and commands such as `up ip addr add ADDRESS`.
func ifupdownLine(line string, addr netip.Addr) bool {
	words := strings.Fields(line)
	switch {
	case words[0] == "address":
		return len(words) > 1 && names(words[1], addr)
	case slices.Contains([]string{"up", "post-up", "pre-up"}, words[0]):
		for _, w := range words[1:] {
			if names(w, addr) {
				i := slices.IndexFunc(words, func(x string) bool { return path.Base(x) == "ip" || path.Base(x) == "ifconfig" })
				return i >= 0 && !slices.Contains(words, "route") && !slices.Contains(words, "rule") && !slices.Contains(words, "del")
			}
		}
	}
	return false
}
