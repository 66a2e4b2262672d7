package xdata

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
)

// fullEnv tells this test binary that it is in a mount namespace of its own.
const fullEnv = "MXCLUSTER_TEST_FULL_DISK"

// A file system that gets full in the middle of a sync leaves the old version and
// nothing visible; with room again, the next sync ends well and uses what had arrived.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it mounts a file system: run as root")
	}
	if os.Getenv(fullEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), fullEnv+"=1")
		cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	disk := t.TempDir()
	const size = 16 << 20
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"))
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }() // it goes with the namespace
	p := newPair(t)
	p[clusterconf.SideStandby].Dir = filepath.Join(disk, "xdata")
	p[clusterconf.SideStandby].Space = ample
	killData(t, p)
	old := filepath.Join(p[clusterconf.SideStandby].Dir, "xdata_1_20260301000000")
	before := describe(t, old)
	var full, reused int
	for round := range killRounds() {
		resetStandby(t, p)
		asks := []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}[round%2]
		// From nothing at all to more than is needed.
		free := int64(7<<20) * int64(round) / int64(killRounds()-1)
		filler := filepath.Join(disk, "filler")
		var st unix.Statfs_t
		must(t, unix.Statfs(disk, &st))
		must(t, os.WriteFile(filler, make([]byte, max(int64(st.Bavail)*st.Bsize-free, 0)), 0o600))
		_, err := between(t, p[asks], p[asks.Other()], asks)
		if err != nil {
			full++
		}
		must(t, os.Remove(filler))
		arrived := checkHidden(t, p, old, before)
		res, again := between(t, p[asks], p[asks.Other()], asks)
		must(t, again)
		if err != nil && arrived > usefulBytes && res.SentBytes < 6<<20-(arrived-1<<20)/2 {
			reused++
		}
		checkAlike(t, p)
	}
	t.Logf("%d of %d did not fit; %d of them reused what had arrived; file system of %d bytes", full, killRounds(), reused, size)
	if full == 0 || reused == 0 {
		t.Error("the file system never got full, or nothing was reused")
	}
}
