package settings

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// key is one setting.
type key struct {
	name      string
	byDefault string
	set       func(*Settings, string) error
	hint      string // what to say besides when set fails
}

// Longest times that still make sense: a slip of the unit is caught by them.
const (
	day  = 24 * time.Hour
	week = 7 * day
)

const (
	durationHint = "give a time such as 300ms, 10s or 5m"
	leaseHint    = "give whole seconds, for example 3s: the kernel counts the lifetime of an address in them"
)

// table returns all settings. Defaults of this server's own name and folders
// are not in it, for they are found out.
func table() []key {
	return slices.Concat([]key{
		{"server", "", text(func(s *Settings) *string { return &s.Server }),
			"give this server's name in the cluster document"},
		{"xdata_dir", "", folder,
			"give the folder's full path, for example /var/lib/mxcluster/xdata"},
		{"gossip.port", "7946", number(func(s *Settings) *int { return &s.GossipPort }, 1, math.MaxUint16),
			"give the same port on every server"},
		{"alias.lease", "3s", seconds(func(s *Settings) *time.Duration { return &s.AliasLease }, time.Second, time.Hour),
			leaseHint},
		{"arp.budget", "15", number(func(s *Settings) *int { return &s.ARPBudget }, 0, 10000),
			"give the ARP packets a second that the switches take from a port, 15 where they inspect ARP; 0 lifts the bound"},
		{"arp.refresh", "60s", duration(func(s *Settings) *time.Duration { return &s.ARPRefresh }, time.Second, day),
			durationHint},
		{"sync.rsh", "ssh -o BatchMode=yes {address}", text(func(s *Settings) *string { return &s.SyncRSH }),
			"give the command that runs another one on {server} or {address}"},
		{"sync.remote_command", "mxcluster", text(func(s *Settings) *string { return &s.SyncRemoteCommand }),
			"give the path of mxcluster on the other servers"},
		{"sync.login_limit", "60s", duration(func(s *Settings) *time.Duration { return &s.SyncLoginLimit }, time.Second, time.Hour),
			durationHint},
		{"sync.idle_limit", "60s", duration(func(s *Settings) *time.Duration { return &s.SyncIdleLimit }, 5*time.Second, time.Hour),
			durationHint},
		{"xdata.still", "30s", duration(func(s *Settings) *time.Duration { return &s.XDataStill }, 0, day),
			durationHint + "; 0 takes what other programs write at once"},
		{"services.restarts", "3", number(func(s *Settings) *int { return &s.ServiceRestarts }, 0, 1000),
			"0 lets the LIM fail over at once"},
		{"services.check_interval", "5s", duration(func(s *Settings) *time.Duration { return &s.ServiceCheckInterval }, 100*time.Millisecond, time.Hour),
			durationHint},
		{"services.start_limit", "30s", duration(func(s *Settings) *time.Duration { return &s.ServiceStartLimit }, 100*time.Millisecond, time.Hour),
			durationHint},
		{"services.stop_limit", "30s", duration(func(s *Settings) *time.Duration { return &s.ServiceStopLimit }, 100*time.Millisecond, time.Hour),
			durationHint},
		{"services.check_limit", "10s", duration(func(s *Settings) *time.Duration { return &s.ServiceCheckLimit }, 100*time.Millisecond, time.Hour),
			durationHint},
		{"fallback.hold", "2m", duration(func(s *Settings) *time.Duration { return &s.FallbackHold }, 0, time.Hour),
			durationHint + "; 0 lets every server take its LIM back at once, however often it fails"},
		{"fallback.from_load", "false", yesNo(func(s *Settings) *bool { return &s.FallbackFromLoad }),
			"give true or false"},
		{"agent.start_grace", "30s", duration(func(s *Settings) *time.Duration { return &s.StartGrace }, 0, time.Hour),
			durationHint},
		{"agent.stop_lease", "1h", seconds(func(s *Settings) *time.Duration { return &s.StopLease }, time.Second, week),
			leaseHint},
		{"control.group", "", func(s *Settings, value string) error { s.ControlGroup = value; return nil },
			"give the name of a group whose members may give the agent orders, or nothing"},
		{"manager.postgres", "", postgresName,
			"give version and name as pg_lsclusters shows them, such as 15/main, or nothing where there is one only"},
		{"manager.packages", "", packages,
			"give names of Debian packages, with commas, or nothing"},
		{"manager.web_server", "", webServer,
			"give systemd:UNIT, ocf:PROVIDER:AGENT or exec:/PATH, or nothing where there is none"},
	}, alarmKeys(), arbiterKeys())
}

func names() []string {
	var names []string
	for _, k := range table() {
		names = append(names, k.name)
	}
	return names
}

func known(name string) bool {
	return slices.Contains(names(), name)
}

// envName returns the environment variable of a key.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

func text(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		if strings.TrimSpace(value) == "" {
			return errors.New("is empty")
		}
		*field(s) = value
		return nil
	}
}

func folder(s *Settings, value string) error {
	if !filepath.IsAbs(value) {
		return fmt.Errorf("%q is not a full path", value)
	}
	s.XDataDir = filepath.Clean(value)
	return nil
}

// webServer takes a service; what it names shows when it is started.
func webServer(s *Settings, value string) error {
	if value != "" && !strings.Contains(value, ":") {
		return fmt.Errorf("%q is not a service", value)
	}
	s.ManagerWebServer = value
	return nil
}

// packages takes names of packages.
func packages(s *Settings, value string) error {
	s.ManagerPackages = nil
	for _, name := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		const small = "abcdefghijklmnopqrstuvwxyz0123456789"
		if strings.Trim(name, small+"+-.") != "" || !strings.ContainsAny(name[:1], small) {
			return fmt.Errorf("%q is not the name of a package", name)
		}
		s.ManagerPackages = append(s.ManagerPackages, name)
	}
	return nil
}

// postgresName takes the name of a PostgreSQL.
func postgresName(s *Settings, value string) error {
	version, name, found := strings.Cut(value, "/")
	if _, err := strconv.Atoi(version); value != "" && (err != nil || !found || name == "" || strings.Contains(name, "/")) {
		return fmt.Errorf("%q is not the name of a PostgreSQL", value)
	}
	s.ManagerPostgres = value
	return nil
}

func number(field func(*Settings) *int, low, high int) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		if n < low || n > high {
			return fmt.Errorf("%d is not between %d and %d", n, low, high)
		}
		*field(s) = n
		return nil
	}
}

func yesNo(field func(*Settings) *bool) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(s) = b
		return nil
	}
}

func duration(field func(*Settings) *time.Duration, low, high time.Duration) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is not a time", value)
		}
		if d < low || d > high {
			return fmt.Errorf("%s is not between %s and %s", value, short(low), short(high))
		}
		*field(s) = d
		return nil
	}
}

func seconds(field func(*Settings) *time.Duration, low, high time.Duration) func(*Settings, string) error {
	read := duration(field, low, high)
	return func(s *Settings, value string) error {
		if err := read(s, value); err != nil {
			return err
		}
		if *field(s)%time.Second != 0 {
			return fmt.Errorf("%s is not a whole number of seconds", value)
		}
		return nil
	}
}

// short writes a time as people do: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}
