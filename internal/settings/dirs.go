// Package settings reads what concerns this server alone: where its folders
// are, mxcluster.yaml, and the key that all servers of a system share. What
// concerns the system is in the cluster document, package clusterconf.
package settings

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Dirs are the folders of one instance. Two instances with different folders
// on one machine never meet.
type Dirs struct {
	Config string // settings, cluster document, gossip key
	State  string // what outlives the process and the machine's reboot
	Run    string // what does not: the agent's socket
}

// The folders where nothing else is said.
const (
	defaultConfig = "/etc/mxcluster"
	defaultState  = "/var/lib/mxcluster"
	defaultRun    = "/run/mxcluster"
)

const envPrefix = "MXCLUSTER_" // of every environment variable of the product

// ResolveDirs returns the folders, absolute, by flag, else by environment
// (MXCLUSTER_CONFIG_DIR, MXCLUSTER_STATE_DIR, MXCLUSTER_RUN_DIR), else the
// defaults. Empty means not given.
func ResolveDirs(flags Dirs, environ []string) (Dirs, error) {
	env := environment(environ)
	d := Dirs{
		Config: first(flags.Config, env["MXCLUSTER_CONFIG_DIR"], defaultConfig),
		State:  first(flags.State, env["MXCLUSTER_STATE_DIR"], defaultState),
		Run:    first(flags.Run, env["MXCLUSTER_RUN_DIR"], defaultRun),
	}
	for _, p := range []*string{&d.Config, &d.State, &d.Run} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return Dirs{}, fmt.Errorf("making the folder %s absolute: %w", *p, err)
		}
		*p = abs
	}
	return d, nil
}

// Settings returns the path of the settings of this server.
func (d Dirs) Settings() string { return filepath.Join(d.Config, "mxcluster.yaml") }

// Syncs returns the folder where it is remembered when LIMs were synchronised.
func (d Dirs) Syncs() string { return filepath.Join(d.State, "sync") }

// Findings returns the folder for what was found of data versions where nothing can be
// written beside them.
func (d Dirs) Findings() string { return filepath.Join(d.State, "findings") }

// xdata returns the folder of the data versions where none is set.
func (d Dirs) xdata() string { return filepath.Join(d.State, "xdata") }

// Management returns the folder of this server's half of the management system's pair, which
// the user that PostgreSQL runs as can enter.
func (d Dirs) Management() string { return filepath.Join(d.State, "manager") }

// SSH returns the folder of the key that syncs log in by.
func (d Dirs) SSH() string { return filepath.Join(d.Config, "ssh") }

// OwnRSH returns the remote shell that logs in by that key where a server was
// set up for it, and else as ssh does by itself.
func (d Dirs) OwnRSH() string {
	config := "'" + strings.ReplaceAll(filepath.Join(d.SSH(), "config"), "'", `'\''`) + "'"
	return "ssh -F " + config + " -o BatchMode=yes -o HostName={address} {server}"
}

// GossipKey returns the path of the key that the system's servers share.
func (d Dirs) GossipKey() string { return filepath.Join(d.Config, "gossip.key") }

// environment returns the variables of the product. Of one given twice the
// last counts, as it does for os/exec.
func environment(environ []string) map[string]string {
	env := make(map[string]string)
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	return env
}

// first returns the first value that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
