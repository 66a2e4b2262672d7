package settings

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mxcluster/internal/fault"
)

// Arbiter says where LIMs are asked for before they run on this server (package
// arbiter). It is off without Endpoints.
type Arbiter struct {
	Lease        time.Duration // how long a LIM's key is kept that is not renewed; whole seconds
	Endpoints    string        // URLs of etcd's client ports, with commas
	Prefix       string        // of every key, without a slash at its end
	CA           string        // file with the certificates that etcd's are checked by; "": the system's
	Cert, Key    string        // files of the certificate that etcd knows this server by; "": none
	User         string        // "": none
	PasswordFile string        // its password, in a file that nobody else may read
}

// On reports whether there is an arbiter.
func (a Arbiter) On() bool { return a.Endpoints != "" }

// List returns the endpoints one by one.
func (a Arbiter) List() []string { return strings.Split(a.Endpoints, ",") }

// endpointsKey is the one setting that takes several values.
const endpointsKey = "arbiter.etcd.endpoints"

// minArbiterLease is the shortest time that etcd keeps a key for: one and a half
// of its election timeout, 1 s by default, in whole seconds.
const minArbiterLease = 2 * time.Second

const endpointHint = "give URLs of etcd's client ports, for example https://10.0.0.51:2379"

func arbiterKeys() []key {
	return []key{
		{"arbiter.lease", "6s", seconds(func(s *Settings) *time.Duration { return &s.Arbiter.Lease }, minArbiterLease, time.Minute),
			"give whole seconds, for example 6s: etcd counts leases in them"},
		{endpointsKey, "", endpoints, endpointHint},
		{"arbiter.etcd.prefix", "/mxcluster", prefix,
			"give the start of the keys' names, for example /mxcluster"},
		{"arbiter.etcd.ca", "", file(func(s *Settings) *string { return &s.Arbiter.CA }),
			"give the full path of a PEM file"},
		{"arbiter.etcd.cert", "", file(func(s *Settings) *string { return &s.Arbiter.Cert }),
			"give the full path of a PEM file"},
		{"arbiter.etcd.key", "", file(func(s *Settings) *string { return &s.Arbiter.Key }),
			"give the full path of a PEM file"},
		{"arbiter.etcd.user", "", func(s *Settings, value string) error { s.Arbiter.User = value; return nil }, ""},
		{"arbiter.etcd.password_file", "", file(func(s *Settings) *string { return &s.Arbiter.PasswordFile }),
			"give the full path of a file with mode 0600 that holds the password alone"},
	}
}

// check looks at what belongs together.
func (a Arbiter) check(origins map[string]string) error {
	for _, pair := range []struct{ name, value, other, otherValue string }{
		{"arbiter.etcd.cert", a.Cert, "arbiter.etcd.key", a.Key},
		{"arbiter.etcd.key", a.Key, "arbiter.etcd.cert", a.Cert},
		{"arbiter.etcd.user", a.User, "arbiter.etcd.password_file", a.PasswordFile},
		{"arbiter.etcd.password_file", a.PasswordFile, "arbiter.etcd.user", a.User},
	} {
		if pair.value != "" && pair.otherValue == "" {
			return fault.New(fault.Invalid, "set both of them, or none", "%s: %s is set without %s", origins[pair.name], pair.name, pair.other)
		}
	}
	return nil
}

// endpoints reads URLs, all with TLS or all without: the client knows no mixture.
func endpoints(s *Settings, value string) error {
	s.Arbiter.Endpoints = ""
	if strings.TrimSpace(value) == "" {
		return nil
	}
	var out []string
	scheme := ""
	for _, text := range strings.Split(value, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Hostname() == "":
			return fmt.Errorf("%q is no URL with a host and a port", text)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil:
			return fmt.Errorf("%q has more than a host and a port", text)
		case scheme != "" && u.Scheme != scheme:
			return errors.New("some of them are http, some https")
		}
		scheme = u.Scheme
		out = append(out, u.Scheme+"://"+u.Host)
	}
	s.Arbiter.Endpoints = strings.Join(out, ",")
	return nil
}

func prefix(s *Settings, value string) error {
	s.Arbiter.Prefix = strings.TrimRight(value, "/")
	if s.Arbiter.Prefix == "" {
		return errors.New("is empty")
	}
	return nil
}

// file reads the path of a file; "" is none.
func file(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		if value != "" && !filepath.IsAbs(value) {
			return fmt.Errorf("%q is not a full path", value)
		}
		*field(s) = value
		return nil
	}
}
