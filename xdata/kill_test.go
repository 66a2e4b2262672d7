package xdata

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/remoteshell"
	"mxcluster/xdata/internal/tree"
)

// syncEnv makes this test binary a client: it synchronises the store that it
// names, from the side syncSideEnv, with the server in the store serveEnv names.
const (
	syncEnv     = "MXCLUSTER_TEST_SYNC"
	syncSideEnv = "MXCLUSTER_TEST_SYNC_SIDE"
	killsEnv    = "MXCLUSTER_TEST_ALL_KILLS"
)

// runSync is that client.
func runSync(dir, there string, side clusterconf.Side) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := remoteshell.Dial(ctx, remoteshell.Shell{
		// The shell stands for ssh: it is there as long as the server is.
		Command:       "sh -c " + `'env "$@"; exit $?' rsh ` + fmt.Sprintf("'%s=%s' %s=", serveEnv, there, syncEnv),
		RemoteCommand: os.Args[0],
	}, "srv2", loopback, "xdata", "serve")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = Sync(ctx, &Store{Dir: dir, Still: AtOnce, Space: ample}, conn, Request{LIM: 1, Side: side})
	return err
}

// ample leaves out the margin, so that a small file system can be full.
func ample(string) (int64, int64, error) { return 1 << 50, -1, nil }

// killRounds is how many moments are tried: few, or 500 with the variable set, or
// as many as a larger number says.
func killRounds() int {
	switch n, err := strconv.Atoi(os.Getenv(killsEnv)); {
	case err != nil || n < 1:
		return 6
	case n == 1:
		return 500
	default:
		return n
	}
}

// killData is a version that takes a moment to copy: a large file, some of which
// the old one has, and many small ones.
func killData(t *testing.T, p pair) {
	shared := noise(1, 1<<20)
	old, now := fileTree{"dump": shared}, fileTree{"dump": noise(2, 1<<20) + shared + noise(3, 3<<20)}
	for i := range 100 {
		now[fmt.Sprintf("d%d/f%03d", i%7, i)] = noise(byte(i), 10_000)
	}
	foreign(t, p[clusterconf.SideRegular], "xdata_1_20260302000000", now, baseTime.Add(time.Hour))
	foreign(t, p[clusterconf.SideStandby], "xdata_1_20260301000000", old, baseTime)
}

// usefulBytes is how much must have arrived for its use to be looked for.
const usefulBytes = 3 << 19

// Whatever is killed at whatever moment - who asks, who answers, or what
// connects them -, nothing half-done is visible, the old version stays as it
// was, and the next sync ends well and needs less than all of it again.
func TestKilledAnywhere(t *testing.T) {
	p := newPair(t)
	killData(t, p)
	old := filepath.Join(p[clusterconf.SideStandby].Dir, "xdata_1_20260301000000")
	before := describe(t, old)
	var reused, completed, transfers, resumed int
	full := syncAnew(t, p, clusterconf.SideRegular).SentBytes // of a sync from nothing
	longest := 100 * time.Millisecond                         // of a transfer
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))        //nolint:gosec // moments
	for round := 0; transfers < killRounds(); round++ {
		resetStandby(t, p)
		asks := []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}[round%2]
		// Some are killed while they still greet each other.
		greeting := round%8 == 7
		killed := killSync(t, p, asks, round%3, time.Duration(r.Int64N(int64(longest))), greeting)
		_, ended, err := p[clusterconf.SideStandby].Newest(1)
		must(t, err)
		if list, err := p[clusterconf.SideStandby].List(1); !ended || err != nil || len(list) > 1 {
			killed = false // all but the word that it is done had come through
		}
		longest = min(longest*21/20, time.Second) // about as long as a transfer takes
		if !killed {
			completed++
			longest = max(longest*8/10, 10*time.Millisecond)
		}
		arrived := checkHidden(t, p, old, before)
		if killed && len(p[clusterconf.SideStandby].partials(1).folders()) > 0 {
			transfers++
		}
		res := syncAnew(t, p, asks)
		if res.Result == Copied && arrived > usefulBytes {
			resumed++
			if res.SentBytes > full-(arrived-1<<20)/2 {
				t.Errorf("round %d: %d bytes had arrived, %d of %d were sent again", round, arrived, res.SentBytes, full)
			} else {
				reused++
			}
		}
		checkAlike(t, p)
	}
	t.Logf("%d killed in the middle of a transfer, %d after the end; %d with more than 1.5 MB arrived, of which %d sent less again",
		transfers, completed, resumed, reused)
}

// resetStandby takes the standby back to its old version.
func resetStandby(t *testing.T, p pair) {
	t.Helper()
	v, ok, err := p[clusterconf.SideStandby].Newest(1)
	must(t, err)
	if ok && v.NewestMtime.After(baseTime) {
		must(t, p[clusterconf.SideStandby].remove(v))
	}
	p[clusterconf.SideStandby].partials(1).remove()
}

// killSync runs a sync in processes of its own and kills one of them (0 who
// asks, 1 who answers, 2 what connects them) a while after the transfer began, or,
// while they are greeting, after the start.
func killSync(t *testing.T, p pair, asks clusterconf.Side, victim int, after time.Duration, greeting bool) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+p[asks.Other()].Dir, syncEnv+"="+p[asks].Dir, syncSideEnv+"="+string(asks))
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	var done atomic.Bool
	began := func() bool { return greeting || len(p[clusterconf.SideStandby].partials(1).folders()) > 0 }
	go func() {
		for !began() && !done.Load() {
			runtime.Gosched()
		}
		timer := time.NewTimer(after)
		defer timer.Stop()
		<-timer.C
		for pid := 0; pid == 0 && !done.Load(); {
			pid = cmd.Process.Pid
			if victim > 0 {
				pid = descendant(pid, 3-victim)
			}
			if pid > 0 && !done.Load() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}()
	err := cmd.Wait()
	done.Store(true)
	// The other processes end by themselves, and the locks with them.
	for _, s := range p {
		f, bad := os.OpenFile(filepath.Join(s.Dir, ".lock-1"), os.O_RDWR|os.O_CREATE, 0o640)
		must(t, bad)
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		must(t, f.Close())
	}
	return err != nil
}

// descendant returns the child of a process, or its child's child; 0: none yet.
// Any of a process's threads may have started it.
func descendant(pid, depth int) int {
	for range depth {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
		pid = 0
		for _, list := range lists {
			if data, err := os.ReadFile(list); err == nil && pid == 0 {
				_, _ = fmt.Sscan(string(data), &pid) // none leaves 0
			}
		}
		if pid == 0 {
			return 0
		}
	}
	return pid
}

// checkHidden checks what an interrupted sync left, and returns how many bytes
// of it will be of use.
func checkHidden(t *testing.T, p pair, old, before string) (arrived int64) {
	t.Helper()
	list, err := p[clusterconf.SideStandby].List(1)
	must(t, err)
	for _, v := range list {
		if f, err := p[clusterconf.SideStandby].Verify(context.Background(), v, nil); err != nil || !v.Complete || f.Failure() != nil {
			t.Fatalf("visible: %+v, %+v, %v", v, f, err)
		}
	}
	if describe(t, old) != before {
		t.Fatal("the old version changed")
	}
	for _, dir := range p[clusterconf.SideStandby].partials(1).folders() {
		arrived = max(arrived, contentOf(t, dir))
	}
	return arrived
}

// contentOf counts the bytes below a folder, without room that was set aside and is empty.
func contentOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		for block := range slices.Chunk(data, tree.DirectUnit) {
			if slices.ContainsFunc(block, func(c byte) bool { return c != 0 }) {
				bytes += int64(len(block))
			}
		}
		return err
	}))
	return bytes
}

// syncAnew synchronises once more, undisturbed.
func syncAnew(t *testing.T, p pair, asks clusterconf.Side) Result {
	t.Helper()
	conn := dialProcess(context.Background(), t, p[asks.Other()])
	res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
	must(t, err)
	must(t, conn.Close())
	return res
}

// checkAlike checks that both sides hold the same, and nothing is left over, but for what a process
// was killed in the middle of replacing: that is removed once it is stale.
func checkAlike(t *testing.T, p pair) {
	t.Helper()
	r, _, err := p[clusterconf.SideRegular].Newest(1)
	must(t, err)
	s, _, err := p[clusterconf.SideStandby].Newest(1)
	must(t, err)
	if describe(t, s.Path) != describe(t, r.Path) {
		t.Fatal("the sides differ")
	}
	later := leftovers{dir: p[clusterconf.SideStandby].Dir, lim: 1, now: func() time.Time { return time.Now().Add(2 * replacedStale) }}
	entries, err := os.ReadDir(later.dir)
	must(t, err)
	for _, e := range entries {
		if later.isReplacement(e.Name()) {
			must(t, later.cleanReplacement(e))
		}
	}
	if _, leftovers := visible(t, p[clusterconf.SideStandby]); leftovers != nil || len(p[clusterconf.SideStandby].partials(1).folders()) > 0 {
		t.Fatalf("left %q %q", leftovers, p[clusterconf.SideStandby].partials(1).folders())
	}
}
