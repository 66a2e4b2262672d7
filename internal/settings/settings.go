package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/spf13/viper"

	"mxcluster/internal/fault"
)

// Settings are the settings of one server. The contract lists their keys and
// defaults; the comments here say what each is for.
type Settings struct {
	Server   string // this server's name in the cluster document
	XDataDir string // folder of the data versions

	GossipPort int           // TCP and UDP port of the membership protocol
	AliasLease time.Duration // how long the kernel keeps an alias that is not renewed; whole seconds
	ARPBudget  int           // fewer ARP packets a second than this are sent on one interface; 0: there is no bound
	ARPRefresh time.Duration // between two announcements of an alias that is held

	SyncRSH           string // remote shell, split into words as a shell does; {server} and {address} are filled in
	SyncRemoteCommand string // mxcluster on the other server

	SyncLoginLimit time.Duration // how long a login on another server may take until mxcluster there answers
	SyncIdleLimit  time.Duration // how long nothing may be heard of the other side of a sync

	XDataStill time.Duration // how long nothing may have changed in another program's data version before it counts as complete

	ServiceRestarts      int           // restarts in place before a LIM counts as failed here
	ServiceCheckInterval time.Duration // between two looks at a service that runs

	ServiceStartLimit time.Duration // of one call of a service: start or reload
	ServiceStopLimit  time.Duration // stop
	ServiceCheckLimit time.Duration // a look at how it is

	FallbackHold     time.Duration // how long a server that failed again soon after a fallback must stay up before the next one; 0: no matter
	FallbackFromLoad bool          // whether a LIM may fall back to a server that still loads it

	StartGrace time.Duration // how long a standby waits for servers not heard of since its agent started
	StopLease  time.Duration // how long aliases of running LIMs stay when the agent is stopped; whole seconds

	ControlGroup string // group whose members may give the agent orders over its socket; "": none

	ManagerWebServer string // SPEC of the management system's web server, started where that is active; "": none

	ManagerPostgres string // PostgreSQL of the management system, as postgresql-common names it; "": the only one

	ManagerPackages []string // that the management system consists of, on both of its servers

	MetricsListen string // address and port of HTTP; "": none

	Alarms  Alarms  // who is told of alarms
	Arbiter Arbiter // whom LIMs are asked from before they run; without endpoints nobody
}

// Load reads the settings of the server that dirs belong to. Each key is taken
// from the environment, where empty means not given, else from mxcluster.yaml,
// else its default; without that file all are defaults. What is unknown or
// wrong is fault.Invalid and names the line or the variable.
func Load(dirs Dirs, environ []string) (*Settings, error) {
	v, origins, err := collect(dirs, environ)
	if err != nil {
		return nil, err
	}
	return build(v, origins)
}

// Value is a setting as it counts.
type Value struct {
	Name, Value string
	Origin      string // file and line, variable, or default
	Command     bool   // a command line
}

// Values returns all settings in their order, whether they are right or not.
func Values(dirs Dirs, environ []string) ([]Value, error) {
	v, origins, err := collect(dirs, environ)
	if err != nil {
		return nil, err
	}
	var all []Value
	for _, name := range names() {
		command := name == "sync.rsh" || name == "sync.remote_command" || name == "alarms.exec"
		all = append(all, Value{name, v.GetString(name), first(origins[name], "default"), command})
	}
	return all, nil
}

// collect finds the value of each key, and where it stands.
func collect(dirs Dirs, environ []string) (*viper.Viper, map[string]string, error) {
	path := dirs.Settings()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, readError(err, path)
	}
	file, err := scan(path, data)
	if err != nil {
		return nil, nil, err
	}
	v := viper.New()
	if err := setDefaults(v, dirs); err != nil {
		return nil, nil, err
	}
	origins := make(map[string]string)
	for name, e := range file {
		if err := v.MergeConfigMap(map[string]any{name: e.value}); err != nil {
			return nil, nil, fault.Wrap(err, fault.Invalid, "", "%s:%d", path, e.line)
		}
		origins[name] = fmt.Sprintf("%s:%d", path, e.line)
	}
	env := environment(environ)
	for _, name := range names() {
		if value := env[envName(name)]; value != "" {
			v.Set(name, value)
			origins[name] = envName(name)
		}
	}
	return v, origins, nil
}

func setDefaults(v *viper.Viper, dirs Dirs) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("reading the host name, the default of the server's name: %w", err)
	}
	for _, k := range table() {
		v.SetDefault(k.name, k.byDefault)
	}
	v.SetDefault("server", host)
	if _, err := os.Stat(filepath.Join(dirs.SSH(), "config")); err == nil {
		v.SetDefault("sync.rsh", dirs.OwnRSH())
	}
	v.SetDefault("xdata_dir", dirs.xdata())
	return nil
}

// build checks every value and puts it in its place. Origins tell where each
// value that is no default was found.
func build(v *viper.Viper, origins map[string]string) (*Settings, error) {
	s := &Settings{}
	for _, k := range table() {
		if err := k.set(s, v.GetString(k.name)); err != nil {
			return nil, fault.New(fault.Invalid, k.hint, "%s: %s: %v", first(origins[k.name], "default"), k.name, err)
		}
	}
	if err := s.Alarms.check(origins); err != nil {
		return nil, err
	}
	return s, s.Arbiter.check(origins)
}

func readError(err error, path string) error {
	code, hint := fault.Invalid, ""
	if errors.Is(err, fs.ErrPermission) {
		code, hint = fault.NotPermitted, "run the command as root, or make the file readable: chmod a+r "+path
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fault.Wrap(err, code, hint, "reading %s", path)
}

// Differ says how the settings on the disk differ from those that a process works by, which
// read them when it started, and what to type; "": they do not.
func (d Dirs) Differ(used *Settings, environ []string) string {
	now, err := Load(d, environ)
	if err != nil {
		return fmt.Sprintf("they cannot be used, and it could not start again: %v", err)
	}
	// Each sync is a process that reads for itself how it logs in; its default changes when the
	// login of syncs is set up.
	now.SyncRSH = used.SyncRSH
	if !reflect.DeepEqual(now, used) {
		return d.Settings() + " was changed since it started; `systemctl restart mxcluster-agent` there disturbs no call"
	}
	return ""
}
