package confine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/services"
)

// This test binary as software that tries to get out: to what is on this server, and to another one.
const (
	stageReach = "reach"
	stageLeave = "leave"
)

// TestMain lets this test binary be the processes of a rehearsal, too.
func TestMain(m *testing.M) {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 3 && args[0] == Command && args[1] == StageFirst:
		err = First(os.Stdin, os.Stdout, os.Stderr, args[2])
	case len(args) == 2 && args[0] == Command && args[1] == StageWorker:
		err = Worker(context.Background(), os.Stdin, os.Stdout)
	case len(args) > 0 && args[0] == stageReach:
		err = reach(args[1:])
	case len(args) == 2 && args[0] == stageLeave:
		err = leave(args[1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// reach tries what must not succeed: to speak with a socket, to see a device or to change
// a setting of the server's.
func reach(sockets []string) error {
	for _, s := range sockets {
		if c, err := net.Dial("unix", s); err == nil {
			c.Close()
			return fmt.Errorf("%s answers", s)
		}
	}
	if err := os.WriteFile("/proc/sys/vm/swappiness", []byte("60"), 0); err == nil {
		return fmt.Errorf("a setting of the kernel was changed")
	}
	if err := unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0))); err == nil {
		return fmt.Errorf("a device was made")
	}
	if err := unix.Mount("none", "/mnt", "tmpfs", 0, ""); err == nil {
		return fmt.Errorf("a file system was mounted")
	}
	return nil
}

// leave tries to speak with another server, which must not succeed, and with this one, which must.
func leave(server string) error {
	if c, err := net.DialTimeout("tcp", net.JoinHostPort(server, "7"), time.Second); err == nil || errors.Is(err, unix.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		return fmt.Errorf("%s answers", server)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:7", time.Second); !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("this server does not answer itself: %w", err)
	}
	return nil
}

// trial is a rehearsal of a shell script that plays an exec: service.
type trial struct {
	dir, scratch string
	spec         rehearsal.Spec
}

const script = `#!/bin/sh
dir=%s
case $1 in
rehearse) exit 0 ;;
status) [ -e /run/trial.pid ] || exit 3; kill -0 $(cat /run/trial.pid) ;;
stop) kill $(cat /run/trial.pid); rm /run/trial.pid ;;
start)
	%s
	setsid sleep 1000000 </dev/null >/dev/null 2>&1 &
	echo $! >/run/trial.pid ;;
esac
`

func newTrial(t *testing.T, start string) *trial {
	t.Helper()
	netnstest.New(t) // skips, or fails in CI, without the rights
	dir := t.TempDir()
	x := &trial{dir: dir, scratch: filepath.Join(dir, "scratch")}
	if err := os.Mkdir(x.scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	x.write(t, "service", fmt.Sprintf(script, dir, start), 0o755)
	x.spec = rehearsal.Spec{
		LIM: clusterconf.LIM{Number: 1, Services: []clusterconf.Service{{Run: "exec:" + filepath.Join(dir, "service")}}}, Server: "sb1", Interface: "eth0",
		Alias: netip.MustParsePrefix("10.0.0.11/24"), Base: netip.MustParsePrefix("10.0.0.13/24"), Version: "xdata_1_20260301020000", XData: dir,
		StartLimit: 10 * time.Second, StopLimit: 5 * time.Second, CheckLimit: 5 * time.Second, Every: 20 * time.Millisecond, Healthy: 100 * time.Millisecond,
		Untrusted: true, Room: 16 << 20,
	}
	return x
}

func (x *trial) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// run rehearses, and looks that nothing of it is left: no process, no mount, no file.
func (x *trial) run(t *testing.T, result failover.RehearsalResult, says string) failover.Rehearsal {
	t.Helper()
	before, err := os.ReadDir(x.dir)
	if err != nil {
		t.Fatal(err)
	}
	r := Run(t.Context(), x.spec, x.scratch)
	if r.Result != result || !strings.Contains(r.Text, says) {
		t.Errorf("it was %s: %s; want %s: %s", r.Result, r.Text, result, says)
	}
	if r.Version != x.spec.Version || r.At.IsZero() {
		t.Errorf("it does not say of what, and when: %+v", r)
	}
	x.nothingLeft(t, before)
	return r
}

func (x *trial) nothingLeft(t *testing.T, before []os.DirEntry) {
	t.Helper()
	if left := processesIn(t, x.dir); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	after, err := os.ReadDir(x.dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("the folder has %v, before %v (%v)", after, before, err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), x.dir) {
		t.Errorf("a mount is left (%v)", err)
	}
	if _, err := os.Stat("/run/trial.pid"); err == nil {
		t.Error("it wrote to the server's /run")
	}
}

// processesIn returns those whose command line or environment names a folder.
func processesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range dirs {
		line, _ := os.ReadFile(proc + "/cmdline")
		environ, _ := os.ReadFile(proc + "/environ")
		if filepath.Base(proc) != fmt.Sprint(os.Getpid()) && (strings.Contains(string(line), dir) || strings.Contains(string(environ), "MXCLUSTER_XDATA="+dir)) {
			found = append(found, string(line))
		}
	}
	return found
}

func TestSoftwareIsStartedWatchedAndEnded(t *testing.T) {
	t.Parallel()
	x := newTrial(t, `[ "$MXCLUSTER_REHEARSAL $MXCLUSTER_ROLE $MXCLUSTER_ALIAS" = "1 passive 10.0.0.11" ] || exit 1; [ $MXCLUSTER_XDATA = $dir ] || exit 1`)
	if r := x.run(t, failover.RehearsalOK, "healthy for 100ms"); r.StartMs < 0 {
		t.Errorf("it took %d ms to start", r.StartMs)
	}
}

func TestWhatIsWrittenInARehearsalIsSeenByNobody(t *testing.T) {
	t.Parallel()
	x := newTrial(t, `set -e; echo changed >$dir/data; echo more >$dir/new; rm $dir/gone; echo x >/tmp/trial.tmp; echo x >/var/lib/trial.tmp; echo x >/dev/shm/trial.tmp`)
	x.write(t, "data", "as it was", 0o644)
	x.write(t, "gone", "is not", 0o644)
	x.run(t, failover.RehearsalOK, "")
	if raw, err := os.ReadFile(filepath.Join(x.dir, "data")); string(raw) != "as it was" {
		t.Errorf("the data are %q, %v", raw, err)
	}
	for _, name := range []string{"/tmp/trial.tmp", "/var/lib/trial.tmp", "/dev/shm/trial.tmp"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

func TestSoftwareReachesNothingOfTheServer(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "")
	abstract := "@" + filepath.Base(x.dir) + t.Name()
	path := filepath.Join(x.dir, "s")
	for _, name := range []string{abstract, path} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if c, err := net.Dial("unix", name); err != nil {
			t.Fatal(err)
		} else {
			c.Close()
		}
	}
	x.write(t, "service", fmt.Sprintf(script, x.dir, fmt.Sprintf("%s %s %s %s || exit 1", os.Args[0], stageReach, abstract, path)), 0o755)
	x.run(t, failover.RehearsalOK, "")
}

func TestSoftwareHasItsAddressesAndNoWayOut(t *testing.T) {
	t.Parallel()
	x := newTrial(t, `ip addr show eth0 | grep -q 10.0.0.11/24 && ip addr show eth0 | grep -q 10.0.0.13/24 && ip -br link show eth0 | grep -q UP || exit 1
	[ $(ls /sys/class/net | wc -l) = 2 ] || exit 1; `+os.Args[0]+" "+stageLeave+" 10.0.0.1 || exit 1")
	x.run(t, failover.RehearsalOK, "")
}

func TestSoftwareHasItsIPv6Addresses(t *testing.T) {
	t.Parallel()
	x := newTrial(t, `ip -6 addr show eth0 | grep -q 'fd00::11/64 scope global nodad' || exit 1`)
	x.spec.Alias, x.spec.Base = netip.MustParsePrefix("fd00::11/64"), netip.MustParsePrefix("fd00::13/64")
	x.run(t, failover.RehearsalOK, "")
}

func TestSoftwareThatForksAwayAndHearsNoSignalIsEnded(t *testing.T) {
	t.Parallel()
	x := newTrial(t, `setsid env -i sh -c 'trap "" TERM HUP INT; while :; do sleep 1000001; done' `+"$dir"+` </dev/null >/dev/null 2>&1 &`)
	x.run(t, failover.RehearsalOK, "")
}

func TestSoftwareThatTakesTooLongHasFailed(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "sleep 600")
	x.spec.StartLimit = 200 * time.Millisecond
	x.run(t, failover.RehearsalFailed, "did not end within 200ms")
}

func TestSoftwareThatDiesHasFailed(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "")
	x.write(t, "service", strings.Replace(fmt.Sprintf(script, x.dir, ""), "sleep 1000000", "sleep 0.05", 1), 0o755)
	x.spec.Healthy = 2 * time.Second
	x.run(t, failover.RehearsalFailed, "then exec:")
}

func TestItsLastWordsAreTold(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "echo 'no licence for LIM 1' >&2; exit 1")
	x.run(t, failover.RehearsalFailed, "no licence for LIM 1")
}

func TestSoftwareFillsItsOwnRoomAlone(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "cat /dev/zero >/var/lib/full 2>/dev/null && exit 1; cat /dev/zero >$dir/full 2>/dev/null && exit 1; rm /var/lib/full")
	x.run(t, failover.RehearsalOK, "")
}

func TestOnlySoftwareThatConsentsIsStarted(t *testing.T) {
	t.Parallel()
	touch := "echo started >&2; exit 1"
	for _, tc := range []struct {
		name, answer string
		allowed      bool
		result       failover.RehearsalResult
		says         string
	}{
		{"yes", "exit 0", false, failover.RehearsalFailed, "started"},
		{"unknown verb", "exit 64", false, failover.RehearsalSkipped, "does not consent"},
		{"unknown verb of an init script", "exit 2", false, failover.RehearsalSkipped, "does not consent"},
		{"unknown verb, allowed", "exit 64", true, failover.RehearsalFailed, "started"},
		{"never, though allowed", "exit 3", true, failover.RehearsalSkipped, "must not be started twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, touch)
			x.write(t, "service", strings.Replace(fmt.Sprintf(script, x.dir, touch), "rehearse) exit 0", "rehearse) "+tc.answer, 1), 0o755)
			x.spec.LIM.Rehearsable = tc.allowed
			x.run(t, tc.result, tc.says)
		})
	}
}

func TestUnitsOfSystemdAreSkipped(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "")
	x.spec.LIM.Services, x.spec.LIM.Rehearsable = append(x.spec.LIM.Services, clusterconf.Service{Run: "systemd:lim1"}), true
	x.run(t, failover.RehearsalSkipped, "systemd:lim1 cannot be confined")
}

// A rehearsal that is killed takes all its processes with it, and that is over when the
// kill returns.
func TestAKilledRehearsalLeavesNothing(t *testing.T) {
	x := newTrial(t, `setsid env -i sh -c 'trap "" TERM HUP INT; while :; do sleep 1000001; done' $dir </dev/null >/dev/null 2>&1 &
	for i in 1 2 3 4 5 6 7 8 9; do setsid sleep 1000002 </dev/null >/dev/null 2>&1 & done`)
	x.spec.Healthy = time.Minute
	before, err := os.ReadDir(x.dir)
	if err != nil {
		t.Fatal(err)
	}
	opt := services.Options{Instance: x.dir}
	name, value, _ := strings.Cut(opt.RehearsalMark(), "=")
	t.Setenv(name, value)
	done := make(chan failover.Rehearsal, 1)
	go func() { done <- Run(context.WithoutCancel(t.Context()), x.spec, x.scratch) }()
	for started := false; !started; {
		started = slices.ContainsFunc(processesIn(t, x.dir), func(line string) bool { return strings.HasPrefix(line, "sleep\x001000000") })
		select {
		case r := <-done:
			t.Fatalf("it ended: %+v", r)
		case <-time.After(5 * time.Millisecond):
		}
	}
	began := time.Now()
	if err := opt.EndRehearsals(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("ended in %s", time.Since(began))
	x.nothingLeft(t, before)
	if opt.RehearsalsLeft() {
		t.Error("something is left")
	}
	if r := <-done; r.Result != failover.RehearsalFailed {
		t.Errorf("it was %+v", r)
	}
}

func TestFileSystemsAreCoveredInTheirOrder(t *testing.T) {
	t.Parallel()
	mounts, err := parseMounts(`26 1 254:0 / / rw - ext4 /dev/vda rw
27 26 0:1 / /var rw shared:1 - xfs /dev/vdb rw
28 27 0:2 / /var/lib/a\040b rw - xfs /dev/vdc rw
29 26 0:3 / /proc rw - proc proc rw
30 26 0:4 / /dev rw - devtmpfs dev rw
31 30 0:5 / /dev/shm rw - tmpfs shm rw
32 26 0:6 / /run rw - tmpfs run rw
33 26 0:7 / /mnt rw - ext4 /dev/vdd rw
34 26 0:8 / /mnt rw - nfs4 x:/y rw
35 26 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup rw
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []mount{{"/", "ext4"}, {"/var", "xfs"}, {"/run", "tmpfs"}, {"/mnt", "nfs4"}, {"/var/lib/a b", "xfs"}}
	if got := layers(mounts); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if _, err := parseMounts("nonsense"); err == nil {
		t.Error("nonsense was read")
	}
}
