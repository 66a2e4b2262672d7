package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/compat"
	"mxcluster/internal/fault"
)

// wantFault checks an error's code, and words of its message and hint.
func wantFault(t *testing.T, err error, code fault.Code, message, hint string) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != code || !strings.Contains(err.Error(), message) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got error %v (code %d, hint %q), want code %d, message with %q, hint with %q",
			err, fault.CodeOf(err), fault.HintOf(err), code, message, hint)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

// instance is an instance in a fresh folder, with settings unless they are empty.
func instance(t *testing.T, yaml string) Dirs {
	t.Helper()
	dir := t.TempDir()
	d := Dirs{Config: filepath.Join(dir, "etc"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")}
	if yaml != "" {
		write(t, d.Settings(), yaml, 0o644)
	}
	return d
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func TestResolveDirs(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		flags   Dirs
		environ []string
		want    Dirs
	}{
		{"defaults", Dirs{}, nil, Dirs{"/etc/mxcluster", "/var/lib/mxcluster", "/run/mxcluster"}},
		{"environment", Dirs{},
			[]string{"HOME=/root", "MXCLUSTER_CONFIG_DIR=/a", "MXCLUSTER_STATE_DIR=/b", "MXCLUSTER_RUN_DIR=/c"},
			Dirs{"/a", "/b", "/c"}},
		{"flag before environment", Dirs{State: "/f"}, []string{"MXCLUSTER_STATE_DIR=/b", "MXCLUSTER_RUN_DIR=/c"},
			Dirs{"/etc/mxcluster", "/f", "/c"}},
		{"empty is not given", Dirs{}, []string{"MXCLUSTER_STATE_DIR="},
			Dirs{"/etc/mxcluster", "/var/lib/mxcluster", "/run/mxcluster"}},
		{"made absolute", Dirs{Config: "x/../etc", State: "/s/", Run: "."}, nil, Dirs{filepath.Join(wd, "etc"), "/s", wd}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ResolveDirs(tt.flags, tt.environ)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// defaults are the settings of an instance without a file.
func defaults(t *testing.T, d Dirs) Settings {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Server: host, XDataDir: filepath.Join(d.State, "xdata"),
		GossipPort: 7946, AliasLease: 3 * time.Second, ARPRefresh: time.Minute, ARPBudget: 15,
		SyncRSH: "ssh -o BatchMode=yes {address}", SyncRemoteCommand: "mxcluster",
		SyncLoginLimit: time.Minute, SyncIdleLimit: time.Minute, XDataStill: 30 * time.Second,
		ServiceRestarts: 3, ServiceCheckInterval: 5 * time.Second,
		ServiceStartLimit: 30 * time.Second, ServiceStopLimit: 30 * time.Second, ServiceCheckLimit: 10 * time.Second,
		FallbackHold: 2 * time.Minute, StartGrace: 30 * time.Second, StopLease: time.Hour,
		Alarms:  Alarms{SNMP: SNMP{Version: "2c", AuthProtocol: "SHA-256", PrivProtocol: "AES"}},
		Arbiter: Arbiter{Lease: 6 * time.Second, Prefix: "/mxcluster"},
	}
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name, yaml string
		environ    []string
		change     func(*Settings)
	}{
		{"no file", "", nil, func(*Settings) {}},
		{"only a comment", "# nothing yet\n", nil, func(*Settings) {}},
		{"only a start of document", "---\n", nil, func(*Settings) {}},
		{"no value is the default", "server:\nalias:\n  lease: ~\n", nil, func(*Settings) {}},
		{"nested and dotted", "server: srv1\ngossip:\n  port: 7000\nalias.lease: 2s\nagent: {start_grace: 0s}\n", nil, func(s *Settings) {
			s.Server, s.GossipPort, s.AliasLease, s.StartGrace = "srv1", 7000, 2*time.Second, 0
		}},
		{"nested and dotted of one group", "agent:\n  start_grace: 1s\nagent.stop_lease: 2m\n", nil, func(s *Settings) {
			s.StartGrace, s.StopLease = time.Second, 2*time.Minute
		}},
		{"text stays as written", "server: 007\nsync.remote_command: 1.10\n", nil, func(s *Settings) {
			s.Server, s.SyncRemoteCommand = "007", "1.10"
		}},
		{"environment before file", "server: srv1\nxdata_dir: /x\n",
			[]string{"MXCLUSTER_SERVER=srv2", "MXCLUSTER_ALIAS_LEASE=10s", "MXCLUSTER_SERVICES_CHECK_INTERVAL=300ms"}, func(s *Settings) {
				s.Server, s.XDataDir, s.AliasLease, s.ServiceCheckInterval = "srv2", "/x", 10*time.Second, 300*time.Millisecond
			}},
		{"empty in the environment is not given", "server: srv1\n", []string{"MXCLUSTER_SERVER="}, func(s *Settings) {
			s.Server = "srv1"
		}},
		{"a program with arguments", "alarms:\n  exec: /usr/local/bin/mail  ops@example.com\n", nil, func(s *Settings) {
			s.Alarms.Exec = []string{"/usr/local/bin/mail", "ops@example.com"}
		}},
		{"managers, with ports and without", "metrics.listen: base:9946\nalarms:\n  snmp:\n    targets: [10.0.0.60, \"10.0.0.61:1162\", \"fd00::5\", \"[fd00::6]:1162\"]\n", nil, func(s *Settings) {
			s.MetricsListen, s.Alarms.SNMP.Targets = "base:9946", "10.0.0.60:162,10.0.0.61:1162,[fd00::5]:162,[fd00::6]:1162"
		}},
		{"empty", "metrics.listen: ''\nalarms.exec:\nalarms.snmp.targets: ''\n", nil, func(*Settings) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := instance(t, tt.yaml)
			want := defaults(t, d)
			tt.change(&want)
			got, err := Load(d, tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("settings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryKeyByFileAndEnvironment(t *testing.T) {
	values := map[string]string{
		"server": "s", "xdata_dir": "/x", "gossip.port": "1", "alias.lease": "1s", "arp.refresh": "1s", "arp.budget": "30", "sync.rsh": "r",
		"sync.remote_command": "c", "sync.login_limit": "5s", "sync.idle_limit": "5s", "xdata.still": "7s", "services.restarts": "0", "services.check_interval": "1s", "services.start_limit": "1s", "services.stop_limit": "1s", "services.check_limit": "1s", "agent.start_grace": "1s", "agent.stop_lease": "1s",
		"fallback.hold": "1s", "fallback.from_load": "true", "control.group": "phones", "manager.web_server": "systemd:apache2", "manager.postgres": "15/main", "manager.packages": "snm,pm", "alarms.exec": "/p a", "metrics.listen": "127.0.0.1:9946",
		"alarms.snmp.targets": "a:1,b:2", "alarms.snmp.version": "3", "alarms.snmp.inform": "true", "alarms.snmp.community_file": "/co", "alarms.snmp.user": "w",
		"alarms.snmp.auth_protocol": "SHA-512", "alarms.snmp.auth_file": "/au", "alarms.snmp.priv_protocol": "AES-256", "alarms.snmp.priv_file": "/pr",
		"arbiter.lease": "2s", "arbiter.etcd.endpoints": "http://a:1,http://b:1", "arbiter.etcd.prefix": "/p", "arbiter.etcd.ca": "/ca", "arbiter.etcd.cert": "/c",
		"arbiter.etcd.key": "/k", "arbiter.etcd.user": "u", "arbiter.etcd.password_file": "/f",
	}
	want := Settings{"s", "/x", 1, time.Second, 30, time.Second, "r", "c", 5 * time.Second, 5 * time.Second, 7 * time.Second, 0, time.Second, time.Second, time.Second, time.Second, time.Second, true, time.Second, time.Second, "phones", "systemd:apache2", "15/main", []string{"snm", "pm"},
		"127.0.0.1:9946", Alarms{[]string{"/p", "a"}, SNMP{"a:1,b:2", "3", true, "/co", "w", "SHA-512", "/au", "AES-256", "/pr"}}, Arbiter{2 * time.Second, "http://a:1,http://b:1", "/p", "/ca", "/c", "/k", "u", "/f"}}
	var file strings.Builder
	var environ []string
	for _, k := range table() {
		file.WriteString(k.name + ": " + values[k.name] + "\n")
		environ = append(environ, "MXCLUSTER_"+strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))+"="+values[k.name])
	}
	for name, load := range map[string]func() (*Settings, error){
		"file":        func() (*Settings, error) { return Load(instance(t, file.String()), nil) },
		"environment": func() (*Settings, error) { return Load(instance(t, ""), environ) },
	} {
		got, err := load()
		if err != nil || !cmp.Equal(*got, want) {
			t.Errorf("by %s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name, yaml, message, hint string
	}{
		{"unknown", "server: srv1\n\nsever: srv2\n", "mxcluster.yaml:3: unknown setting sever", "did you mean server?"},
		{"unknown in a group", "gossip:\n  prot: 1\n", "mxcluster.yaml:2: unknown setting gossip.prot", "did you mean gossip.port?"},
		{"unknown, dotted", "alias.leese: 3s\n", ":1: unknown setting alias.leese", "did you mean alias.lease?"},
		{"unknown, near to none", "colour-of-the-bikeshed: red\n", ":1: unknown setting", "settings are server, xdata_dir, gossip.port"},
		{"upper case", "Server: srv1\n", ":1: unknown setting Server", "did you mean server?"},
		{"group with a value", "gossip: 7946\n", ":1: unknown setting gossip", "gossip.port"},
		{"key with a group", "server:\n  name: srv1\n", ":1: server takes one value", "one value"},
		{"key with a list", "server: [a, b]\n", ":1: server takes one value", "one value"},
		{"twice", "server: a\nserver: b\n", ":2: server is set already in line 1", "remove one"},
		{"twice, nested and dotted", "gossip:\n  port: 1\ngossip.port: 1\n", ":3: gossip.port is set already in line 2", "remove one"},
		{"snmp alone", "alarms.snmp.: x\n", ":1: unknown setting alarms.snmp.", "alarms."},
		{"version 3 without a user", "alarms.snmp:\n  targets: 10.0.0.60\n  version: 3\n", ":3: alarms.snmp.version: version 3 needs alarms.snmp.user", "set it"},
		{"version 3 without a passphrase", "alarms.snmp:\n  targets: 10.0.0.60\n  version: 3\n  user: u\n", "version 3 needs alarms.snmp.auth_file", "set it"},
		{"a version that is none", "alarms.snmp.version: 1\n", "alarms.snmp.version: \"1\" is none of 2c, 3", "2c or 3"},
		{"a manager twice", "alarms.snmp.targets: 10.0.0.60, 10.0.0.60:162\n", "10.0.0.60:162 is named twice", "managers"},
		{"a manager's port", "alarms.snmp.targets: 10.0.0.60:x\n", "\"x\" is no port", "10.0.0.60"},
		{"a program without its path", "alarms.exec: mail ops\n", "\"mail\" is not a full path", "full path"},
		{"no port to listen at", "metrics.listen: 127.0.0.1\n", "\"127.0.0.1\" is no address with a port", "127.0.0.1:9946"},
		{"tab", "gossip:\n\tport: 1\n", "mxcluster.yaml:2: found character that cannot start any token", "lines such as"},
		{"a list", "- server\n", ":1: settings are keys with values", "server: srv1"},
		{"a word", "srv1\n", ":1: settings are keys with values", "server: srv1"},
		{"two documents", "server: a\n---\nserver: b\n", "a second YAML document", "one document"},
		{"garbage", "server: \"a\n", "mxcluster.yaml", "lines such as"},

		{"port too high", "gossip.port: 65536\n", ":1: gossip.port: 65536 is not between 1 and 65535", "every server"},
		{"port 0", "gossip.port: 0\n", ":1: gossip.port: 0 is not between", "every server"},
		{"port a word", "gossip.port: http\n", `:1: gossip.port: "http" is not a number`, "every server"},
		{"lease too short", "alias.lease: 900ms\n", ":1: alias.lease: 900ms is not between 1s and 1h", "whole seconds"},
		{"lease not whole", "\nalias.lease: 1500ms\n", ":2: alias.lease: 1500ms is not a whole number of seconds", "the kernel counts"},
		{"neither yes nor no", "fallback.from_load: maybe\n", ":1: fallback.from_load: \"maybe\" is neither true nor false", "true or false"},
		{"no web server", "manager.web_server: apache2\n", ":1: manager.web_server: \"apache2\" is not a service", "systemd:UNIT"},
		{"no package", "manager.packages: snm, -y\n", ":1: manager.packages: \"-y\" is not the name of a package", "Debian packages"},
		{"no PostgreSQL", "manager.postgres: main\n", ":1: manager.postgres: \"main\" is not the name of a PostgreSQL", "15/main"},
		{"PostgreSQL of no version", "manager.postgres: a/main\n", ":1: manager.postgres: \"a/main\" is not", "pg_lsclusters"},
		{"lease for ever", "agent.stop_lease: 9999h\n", ":1: agent.stop_lease: 9999h is not between 1s and 168h", "whole seconds"},
		{"no unit", "arp.refresh: 60\n", `:1: arp.refresh: "60" is not a time`, "300ms, 10s or 5m"},
		{"negative", "agent.start_grace: -1s\n", ":1: agent.start_grace: -1s is not between 0s and 1h", "300ms, 10s or 5m"},
		{"checks without end", "services.check_interval: 0s\n", ":1: services.check_interval: 0s is not between 100ms and 1h", "300ms"},
		{"restarts negative", "services.restarts: -1\n", ":1: services.restarts: -1 is not between 0 and", "at once"},
		{"relative folder", "xdata_dir: xdata\n", `:1: xdata_dir: "xdata" is not a full path`, "full path"},
		{"empty text", "server: ''\n", ":1: server: is empty", "name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(instance(t, tt.yaml), nil)
			wantFault(t, err, fault.Invalid, tt.message, tt.hint)
		})
	}
	t.Run("environment", func(t *testing.T) {
		_, err := Load(instance(t, "alias.lease: 5s\n"), []string{"MXCLUSTER_ALIAS_LEASE=soon"})
		wantFault(t, err, fault.Invalid, `MXCLUSTER_ALIAS_LEASE: alias.lease: "soon" is not a time`, "whole seconds")
	})
	t.Run("folder in its place", func(t *testing.T) {
		d := instance(t, "")
		if err := os.MkdirAll(d.Settings(), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Load(d, nil)
		wantFault(t, err, fault.Invalid, "reading "+d.Settings()+": is a directory", "")
	})
}

func TestWriteServer(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"no file", "", "server: srv1\n"},
		{"only comments", "# mine\n# and more", "# mine\n# and more\nserver: srv1\n"},
		{"other settings", "# top\n\nalias:\n  lease: 5s # short\n# end\n", "# top\n\nalias:\n  lease: 5s # short\n# end\n\nserver: srv1\n"},
		{"another name", "# who\nserver: old # host\nxdata_dir: /x\n", "# who\nserver: srv1 # host\nxdata_dir: /x\n"},
		{"no name", "server:\narp.refresh: 1m\n", "server: srv1\narp.refresh: 1m\n"},
		{"in braces", "{server: a, gossip: {port: 1}}\n", "{server: srv1, gossip: {port: 1}}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := instance(t, tt.before)
			if err := WriteServer(d.Config, "srv1"); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(d.Settings())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.after, string(got)); diff != "" {
				t.Errorf("file differs (-want +got):\n%s", diff)
			}
			if s, err := Load(d, nil); err != nil || s.Server != "srv1" {
				t.Errorf("loaded again: %+v, %v", s, err)
			}
			if left, _ := filepath.Glob(filepath.Join(d.Config, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestWriteServerThatLooksLikeANumber(t *testing.T) {
	d := instance(t, "")
	for _, name := range []string{"007", "yes", "1.10", "null"} {
		if err := WriteServer(d.Config, name); err != nil {
			t.Fatal(err)
		}
		if s, err := Load(d, nil); err != nil || s.Server != name {
			t.Errorf("wrote %q, loaded %+v, %v", name, s, err)
		}
	}
}

func TestWriteServerKeepsModeAndLeavesTheSameAlone(t *testing.T) {
	d := instance(t, "")
	write(t, d.Settings(), "server:   srv1\n", 0o640)
	before, err := os.Stat(d.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteServer(d.Config, "srv1"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(d.Settings()); err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged file was replaced: %v", err)
	}
	if err := WriteServer(d.Config, "srv2"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(d.Settings()); err != nil || after.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v, want 0640", after.Mode(), err)
	}
}

func TestWriteServerRefuses(t *testing.T) {
	d := instance(t, "sever: srv1\n")
	wantFault(t, WriteServer(d.Config, "srv2"), fault.Invalid, ":1: unknown setting sever", "did you mean server?")
	if got, err := os.ReadFile(d.Settings()); err != nil || string(got) != "sever: srv1\n" {
		t.Errorf("the file with an error became %q, %v", got, err)
	}
	wantFault(t, WriteServer(filepath.Join(d.Settings(), "sub"), "srv2"), fault.Invalid, "not a directory", "")
}

// FuzzScan reads arbitrary files: no panic, and what WriteServer makes of a
// good file is good, too, and has every other setting as before.
func FuzzScan(f *testing.F) {
	f.Add([]byte("server: a\ngossip:\n  port: 1\n# end\n"))
	f.Add([]byte("{alias.lease: 3s, server: null}"))
	f.Add([]byte("# c\n---\n"))
	f.Add([]byte("server: &a b\nxdata_dir: *a\n"))
	for _, in := range append(compat.Recorded(f, "settings"), compat.OfTheFuture(f, "settings")...) {
		f.Add(in.Content)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := scan("f", data)
		if err != nil {
			return
		}
		changed, err := withServer("f", data, "srv1")
		if err != nil {
			return
		}
		after, err := scan("f", changed)
		if err != nil {
			return // WriteServer refuses it
		}
		if after["server"].value != "srv1" {
			t.Fatalf("%q became %q", data, changed)
		}
		for name, e := range before {
			if name != "server" && after[name].value != e.value {
				t.Errorf("%q became %q: %s was %q", data, changed, name, e.value)
			}
		}
	})
}
