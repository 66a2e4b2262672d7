//go:build linux

// Package systemdtest runs a systemd of a test's own, as process 1 of namespaces of its
// own: process, mount, network, and all that a service could change.
package systemdtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// initScript becomes a systemd that is process 1 of namespaces of its own, with
// no units but the test's. Its control group lies below one of the test's own, so
// that the machine's are not touched.
const initScript = `
set -e
mount --make-rprivate /
mkdir -p "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$2"
echo $$ >"$1/cgroup/$2/cgroup.procs"
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
for d in /etc/systemd/system /usr/lib/systemd/system-generators /usr/lib/systemd/system-environment-generators /usr/lib/systemd/system; do
	[ ! -d $d ] || mount -t tmpfs tmpfs $d
done
cp "$1"/units/* /usr/lib/systemd/system/
exec unshare --cgroup /bin/sh -c '
	umount -R /sys/fs/cgroup 2>/dev/null || :
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no'
`

// busUnits bring up the message bus over which that systemd is asked. Its own
// socket refuses who is not in its process namespace.
var busUnits = map[string]string{
	"shutdown.target": "[Unit]\nDefaultDependencies=no\n", "sysinit.target": "[Unit]\nDefaultDependencies=no\n",
	"basic.target": "[Unit]\nDescription=test\nWants=sysinit.target dbus.service\nAfter=sysinit.target dbus.service\n",
	"dbus.socket":  "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
	"dbus.service": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\n" +
		"ExecStart=/usr/bin/dbus-daemon --config-file=/usr/lib/systemd/system/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation\n",
	"bus.conf": `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`,
}

// Manager is a systemd of the test's own.
type Manager struct {
	PID  int    // of systemd, seen from outside
	Dir  string // what units may write to; inside it has the same path
	Root string // the file system as systemd sees it, with a /run of its own
}

// New starts a systemd with units: services, whose names lack .service and whose text is
// that of [Service], or whole files under their names; DIR in them stands for
// the folder that they may write to. It ends with the test, and with it all that it runs.
// Where the rights or systemd are missing, the test fails if the environment has CI=true,
// since a test that did not run proves nothing there; else it is skipped.
func New(t *testing.T, units map[string]string) *Manager {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("only root can run a systemd of its own")
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("systemd is not installed")
	}
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/units", 0o755))
	for name, text := range busUnits {
		must(t, os.WriteFile(dir+"/units/"+name, []byte(text), 0o644))
	}
	for name, text := range units {
		text = strings.ReplaceAll(text, "DIR", dir) + "\n"
		if filepath.Ext(name) == "" {
			name, text = name+".service", "[Unit]\nDefaultDependencies=no\n[Service]\n"+text
		}
		must(t, os.WriteFile(filepath.Join(dir, "units", name), []byte(text), 0o644))
	}
	group := "mxcluster-test-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(filepath.Dir(dir)) + "-" + filepath.Base(dir)
	var log bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", initScript, "init", dir, group)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	begun, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // its end would be that of systemd
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	must(t, <-begun)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it everything in its namespace
		<-ended
		if t.Failed() {
			t.Logf("systemd said:\n%s", log.String())
		}
		removeGroups(t, dir, group)
	})
	m := &Manager{PID: cmd.Process.Pid, Dir: dir, Root: fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)}
	poll(t, "systemd to answer", func() bool {
		c, err := m.Dial(t.Context())
		if err != nil {
			return false
		}
		defer c.Close()
		s, err := c.SystemStateContext(t.Context())
		return err == nil && s.Value.Value() != "initializing"
	})
	return m
}

// Dial connects to systemd over its message bus.
func (m *Manager) Dial(ctx context.Context) (*dbus.Conn, error) {
	return Dial(ctx, m.Root+"/run/dbus/system_bus_socket")
}

// Dial connects to a systemd over the message bus with that socket.
func Dial(ctx context.Context, path string) (*dbus.Conn, error) {
	return dbus.NewConnection(func() (*bus.Conn, error) { return dialBus(ctx, path) })
}

// RestartBus has systemd start the message bus anew; the answer is lost with it.
func (m *Manager) RestartBus(t *testing.T) {
	t.Helper()
	c, err := m.Dial(t.Context())
	must(t, err)
	defer c.Close()
	_, _ = c.RestartUnitContext(t.Context(), "dbus.service", "replace", nil)
}

// dialBus connects to a message bus.
func dialBus(ctx context.Context, path string) (*bus.Conn, error) {
	c, err := bus.Dial("unix:path="+path, bus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := c.Auth([]bus.Auth{bus.AuthExternal("0")}); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.Hello(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// removeGroups removes the control groups that are left of a systemd.
func removeGroups(t *testing.T, dir, group string) {
	at := filepath.Join(dir, "left")
	must(t, os.Mkdir(at, 0o755))
	must(t, unix.Mount("cgroup2", at, "cgroup2", 0, ""))
	defer func() { _ = unix.Unmount(at, unix.MNT_DETACH) }()
	poll(t, "control groups to be empty", func() bool {
		var groups []string
		_ = filepath.WalkDir(filepath.Join(at, group), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, g := range slices.Backward(groups) {
			_ = unix.Rmdir(g)
		}
		_, err := os.Stat(filepath.Join(at, group))
		return os.IsNotExist(err)
	})
}

// poll waits until a condition holds.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, look := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
