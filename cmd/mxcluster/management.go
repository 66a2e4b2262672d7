package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"mxcluster/commands"
	"mxcluster/internal/agent"
	"mxcluster/internal/manager"
	"mxcluster/internal/manager/postgres"
	"mxcluster/internal/services"
)

// managementPlace is the half of the management system's pair that is kept in a folder.
func managementPlace(folder string) commands.ManagementPlace {
	return postgres.Place{ConfRoot: postgresConfRoot(), Folder: folder}
}

func postgresConfRoot() string {
	if root := os.Getenv("PG_CLUSTER_CONF_ROOT"); root != "" {
		return root
	}
	return postgres.DefaultConfRoot
}

// packageVersion is that of a package of this server; "": it is not installed.
func packageVersion(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}\n", name).Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: it is not known
		return "", fmt.Errorf("looking for package %s: %w", name, err)
	}
	for line := range strings.Lines(string(out)) { // one for each architecture
		if version, found := strings.CutPrefix(strings.TrimSpace(line), "installed "); found {
			return version, nil
		}
	}
	return "", nil
}

// installPackages installs packages of the archives that this server knows.
func installPackages(ctx context.Context, names []string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"install", "--yes", "--no-install-recommends", "--"}, names...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout = os.Stderr
	var said bytes.Buffer
	cmd.Stderr = io.MultiWriter(os.Stderr, &said)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get install %s: %w: %s", strings.Join(names, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// hasAccount reports whether this server has an account.
func hasAccount(account string) bool {
	_, err := user.Lookup(account)
	return err == nil
}

// setPassword gives an account of this server a password.
func setPassword(ctx context.Context, account, password string) error {
	cmd := exec.CommandContext(ctx, "chpasswd")
	cmd.Stdin = strings.NewReader(account + ":" + password + "\n")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("setting the password of account %s: %w: %s", account, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// managementLimit bounds a call: a copy takes long.
const managementLimit = 4 * time.Hour

// managementSystem is what the agent has of it: quick calls over a login of its own, the others
// by processes outside its sandbox.
type managementSystem struct {
	*postgres.Link
	setup commands.AgentSetup
	opt   services.Options
	web   services.Service // nil: none
}

// managementBeside returns the agent's half of the management system. It takes root.
func managementBeside(s commands.AgentSetup) agent.ManagementSystem {
	if s.OwnUser != "" || os.Geteuid() != 0 {
		return nil
	}
	m := &managementSystem{Link: &postgres.Link{Place: postgres.Place{ConfRoot: postgresConfRoot(), Folder: s.Dirs.Management()}}, setup: s,
		opt: services.Options{Instance: s.Dirs.State, RunDir: s.Dirs.Run, Log: s.Log}}
	if spec := s.Settings.ManagerWebServer; spec != "" {
		web, err := services.Parse(spec, m.opt)
		if err != nil {
			s.Log.Error("manager.web_server", "err", err)
			return m
		}
		m.web = web
	}
	return m
}

// Settle does what need not be waited for, after PostgreSQL began to accept writes.
func (m *managementSystem) Settle(ctx context.Context, synchronous bool) error {
	_, err := m.call(ctx, commands.ManagementRequest{Call: commands.ManagementSettle, Synchronous: synchronous})
	return err
}

// Release ends PostgreSQL in order.
func (m *managementSystem) Release(ctx context.Context) (manager.Position, error) {
	a, err := m.call(ctx, commands.ManagementRequest{Call: commands.ManagementRelease})
	return a.Position, err
}

// Follow has PostgreSQL follow the other server.
func (m *managementSystem) Follow(ctx context.Context) (manager.Followed, error) {
	a, err := m.call(ctx, commands.ManagementRequest{Call: commands.ManagementFollow})
	return a.Followed, err
}

// Serve starts or stops the web server.
func (m *managementSystem) Serve(ctx context.Context, on bool) error {
	if m.web == nil {
		return nil
	}
	env := services.Env{LIM: manager.Home, Server: m.setup.Settings.Server, Role: "active", Alias: netip.Addr{}}
	if on {
		return m.web.Start(ctx, env)
	}
	env.Role = "passive"
	return m.web.Stop(ctx, env)
}

// call has a process do something.
func (m *managementSystem) call(ctx context.Context, r commands.ManagementRequest) (a commands.ManagementAnswer, err error) {
	exe, err := os.Executable()
	if err != nil {
		return a, fmt.Errorf("finding this program: %w", err)
	}
	if err := os.MkdirAll(m.setup.Dirs.Run, 0o755); err != nil {
		return a, err
	}
	dir, err := os.MkdirTemp(m.setup.Dirs.Run, "management-")
	if err != nil {
		return a, err
	}
	defer os.RemoveAll(dir)
	r.Folder = m.setup.Dirs.Management()
	raw, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	if err := os.WriteFile(filepath.Join(dir, commands.ManagementCall), raw, 0o600); err != nil {
		return a, err
	}
	if err := services.RunOutside(ctx, m.opt, exe, commands.ManagementCommand, managementLimit,
		commands.ManagementVariable+"="+dir, "PG_CLUSTER_CONF_ROOT="+postgresConfRoot()); err != nil {
		return a, err
	}
	if raw, err = os.ReadFile(filepath.Join(dir, commands.ManagementReport)); err != nil {
		return a, err
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}
