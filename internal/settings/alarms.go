package settings

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mxcluster/internal/fault"
)

// Alarms says whom this server tells of alarms, beside its own log (package sinks).
type Alarms struct {
	Exec []string // program and its arguments; none: no program
	SNMP SNMP
}

// SNMP says which managers get notifications.
type SNMP struct {
	Targets       string // addresses with ports, with commas; "": none
	Version       string // 2c or 3
	Inform        bool   // each is acknowledged, and sent again if it is not
	CommunityFile string // of version 2c; "": public
	User          string // of version 3
	AuthProtocol  string // such as SHA-256
	AuthFile      string // with the passphrase alone
	PrivProtocol  string // such as AES
	PrivFile      string // with the passphrase alone; "": what is sent can be read by all
}

// On reports whether there is a manager.
func (s SNMP) On() bool { return s.Targets != "" }

// List returns the targets one by one.
func (s SNMP) List() []string { return strings.Split(s.Targets, ",") }

// targetsKey is a setting that takes several values.
const targetsKey = "alarms.snmp.targets"

const snmpPort = "162"

func alarmKeys() []key {
	snmp := func(f func(*SNMP) *string) func(*Settings) *string {
		return func(s *Settings) *string { return f(&s.Alarms.SNMP) }
	}
	const fileHint = "give the full path of a file with mode 0600 that holds it alone"
	return []key{
		{"metrics.listen", "", listen, "give an address and a port, such as 127.0.0.1:9946 or base:9946, or nothing"},
		{"alarms.exec", "", program, "give the full path of a program, and its arguments behind it"},
		{"alarms.snmp.targets", "", targets, "give addresses of SNMP managers, for example 10.0.0.60 or 10.0.0.60:162"},
		{"alarms.snmp.version", "2c", word(snmp(func(s *SNMP) *string { return &s.Version }), "2c", "3"), "give 2c or 3"},
		{"alarms.snmp.inform", "false", yesNo(func(s *Settings) *bool { return &s.Alarms.SNMP.Inform }), "give true or false"},
		{"alarms.snmp.community_file", "", file(snmp(func(s *SNMP) *string { return &s.CommunityFile })), fileHint},
		{"alarms.snmp.user", "", func(s *Settings, value string) error { s.Alarms.SNMP.User = value; return nil }, ""},
		{"alarms.snmp.auth_protocol", "SHA-256", word(snmp(func(s *SNMP) *string { return &s.AuthProtocol }), "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"),
			"give SHA, SHA-224, SHA-256, SHA-384 or SHA-512"},
		{"alarms.snmp.auth_file", "", file(snmp(func(s *SNMP) *string { return &s.AuthFile })), fileHint},
		{"alarms.snmp.priv_protocol", "AES", word(snmp(func(s *SNMP) *string { return &s.PrivProtocol }), "AES", "AES-192", "AES-256"), "give AES, AES-192 or AES-256"},
		{"alarms.snmp.priv_file", "", file(snmp(func(s *SNMP) *string { return &s.PrivFile })), fileHint},
	}
}

// check looks at what belongs together.
func (a Alarms) check(origins map[string]string) error {
	s := a.SNMP
	for _, x := range []struct {
		wrong      bool
		name, text string
	}{
		{s.On() && s.Version == "3" && s.User == "", "alarms.snmp.version", "version 3 needs alarms.snmp.user"},
		{s.On() && s.Version == "3" && s.AuthFile == "", "alarms.snmp.version", "version 3 needs alarms.snmp.auth_file"},
	} {
		if x.wrong {
			return fault.New(fault.Invalid, "set it, or leave alarms.snmp.targets out", "%s: %s: %s", first(origins[x.name], "default"), x.name, x.text)
		}
	}
	return nil
}

// listen takes an address with a port; whether it may be used depends on the document.
func listen(s *Settings, value string) error {
	if value != "" {
		host, port := hostPort(value)
		if host == "" || port == "" {
			return fmt.Errorf("%q is no address with a port", value)
		}
		if err := checkPort(port); err != nil {
			return err
		}
	}
	s.MetricsListen = value
	return nil
}

// hostPort splits an address and its port, which may be missing. An IPv6 address with a
// port stands in brackets.
func hostPort(text string) (host, port string) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, port, _ = strings.Cut(rest, "]")
		return host, strings.TrimPrefix(port, ":")
	}
	if strings.Count(text, ":") != 1 {
		return text, ""
	}
	host, port, _ = strings.Cut(text, ":")
	return host, port
}

func checkPort(port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > math.MaxUint16 {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

// program takes a path and arguments.
func program(s *Settings, value string) error {
	s.Alarms.Exec = nil
	words := strings.Fields(value)
	if len(words) == 0 {
		return nil
	}
	if !filepath.IsAbs(words[0]) {
		return fmt.Errorf("%q is not a full path", words[0])
	}
	s.Alarms.Exec = words
	return nil
}

// targets takes addresses, with ports or without.
func targets(s *Settings, value string) error {
	s.Alarms.SNMP.Targets = ""
	if strings.TrimSpace(value) == "" {
		return nil
	}
	var out []string
	for _, text := range strings.Split(value, ",") {
		host, port := hostPort(strings.TrimSpace(text))
		if host == "" {
			return errors.New("one of them is empty")
		}
		if port == "" {
			port = snmpPort
		}
		if err := checkPort(port); err != nil {
			return err
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if slices.Contains(out, host+":"+port) {
			return fmt.Errorf("%s:%s is named twice", host, port)
		}
		out = append(out, host+":"+port)
	}
	s.Alarms.SNMP.Targets = strings.Join(out, ",")
	return nil
}

// word takes one of some words.
func word(field func(*Settings) *string, words ...string) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(words, ", "))
		}
		*field(s) = value
		return nil
	}
}
