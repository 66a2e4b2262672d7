package postgres

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcluster/internal/manager"
	"mxcluster/internal/manager/postgres/postgrestest"
)

// killedEnv holds what a process of this test is to do, which is killed at it.
const killedEnv = "MXCLUSTER_TEST_KILLED"

// killsEnv has set-up and removal be killed anywhere, not only after each step.
const killsEnv = "MXCLUSTER_TEST_ALL_KILLS"

// killed is what such a process does, and until which step.
type killed struct {
	Place  Place
	Setup  manager.Setup
	Remove bool
	Steps  int // with SIGKILL after these; 0: to the end
	Done   string
}

// TestProcessThatIsKilled is that process. It takes steps as the command does, tells of each before
// it is taken, and leaves a file when it has come to its end.
func TestProcessThatIsKilled(t *testing.T) {
	text := os.Getenv(killedEnv)
	if text == "" {
		return
	}
	var k killed
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(k.Place.Folder, "document") // what of the cluster document counts here
	_, missing := os.Stat(document)
	s := &setup{k.Place, k.Setup}
	d := &duo{t: t, half: map[manager.Role]*setup{k.Setup.Role: s}, document: missing == nil}
	taken := 0
	d.begun = func(step manager.StepID) {
		if taken++; k.Steps > 0 && taken > k.Steps {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		fmt.Printf("step %s\n", step)
		if step == manager.StepAddress {
			if err := os.WriteFile(document, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var err error
	if k.Remove {
		d.begun("remove")
		err = s.Remove(t.Context())
	} else {
		_, err = d.setup(k.Setup.Role, 100)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.Done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs such a process. It is killed some time after its first step has begun, where a time is
// given. It returns the steps that were begun, and whether it came to its end.
func (d *duo) run(k killed, after time.Duration) (begun []string, ended bool) {
	d.t.Helper()
	k.Done = filepath.Join(d.t.TempDir(), "done")
	text, err := json.Marshal(k)
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessThatIsKilled$")
	cmd.Env = append(os.Environ(), killedEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		step, found := strings.CutPrefix(lines.Text(), "step ")
		if !found {
			said.WriteString(lines.Text() + "\n")
			continue
		}
		if begun = append(begun, step); len(begun) == 1 && after > 0 {
			defer time.AfterFunc(after, func() { _ = cmd.Process.Kill() }).Stop() // it may have ended
		}
	}
	err = cmd.Wait()
	if _, missing := os.Stat(k.Done); missing == nil {
		return begun, true
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		d.t.Fatalf("%s after %v: %v\n%s", k.Setup.Role, begun, err, said.String())
	}
	return begun, false
}

// killAfterEach sets a server's half up by processes of which each is killed after one step.
func (d *duo) killAfterEach(role manager.Role) (all []string) {
	d.t.Helper()
	for len(all) < 20 {
		begun, ended := d.run(killed{Place: d.half[role].Place, Setup: d.half[role].Setup, Steps: 1}, 0)
		if all = append(all, begun...); ended {
			return all
		}
	}
	d.t.Fatalf("%s never ends: %v", role, all)
	return nil
}

// killWithin sets a server's half up, or takes it down, by processes that are killed within each
// step: later each time by a factor, until that one is done. It returns how often each was.
func (d *duo) killWithin(role manager.Role, remove bool, growth float64) (times map[string]int) {
	d.t.Helper()
	times = map[string]int{}
	const first = 2 * time.Millisecond
	last, after := "", first
	for {
		begun, ended := d.run(killed{Place: d.half[role].Place, Setup: d.half[role].Setup, Remove: remove}, after)
		if ended {
			return times
		}
		if len(begun) == 0 {
			d.t.Fatal("a process was killed that had not begun")
		}
		times[begun[len(begun)-1]]++
		if after = time.Duration(float64(after) * growth); begun[0] != last {
			last, after = begun[0], first
		}
	}
}

// Set-up and removal that are killed by SIGKILL, and run again, end right; run once more, nothing
// changes, and no password is in a file that others may read.
func TestSetupOfRealServersGoesOnWhereItWasKilled(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	began := time.Now()
	for _, role := range []manager.Role{manager.Master, manager.Standby} {
		t.Logf("%s, killed after each of %v", role, d.killAfterEach(role))
	}
	t.Logf("took %s", time.Since(began))
	d.stands()
	d.unreadable()
	for _, role := range []manager.Role{manager.Master, manager.Standby} {
		t.Logf("%s, killed within: %v", role, d.killWithin(role, true, 4))
	}
	d.apart()
}

// Within each step, too.
func TestSetupOfRealServersGoesOnWhereverItWasKilled(t *testing.T) {
	if os.Getenv(killsEnv) == "" {
		return
	}
	t.Parallel()
	d := newDuo(t)
	for _, remove := range []bool{false, true} {
		for _, role := range []manager.Role{manager.Master, manager.Standby} {
			t.Logf("%s, removal %t, killed within: %v", role, remove, d.killWithin(role, remove, 1.4))
		}
		if !remove {
			d.stands()
		}
	}
	d.apart()
}

// stands expects a pair that is set up, of which nothing is left to do.
func (d *duo) stands() {
	d.t.Helper()
	d.half[manager.Master].Synchronous, d.document = true, true
	d.must(manager.Master)
	for role := range d.half {
		if done, err := d.setup(role, 100); len(done) > 0 || err != nil {
			d.t.Errorf("%s again: %v, %v", role, done, err)
		}
	}
	d.await(manager.Master, "followed", func(r manager.Report) bool { return r.Writes && r.Followed })
	d.await(manager.Standby, "streaming", func(r manager.Report) bool { return !r.Writes && r.Streams })
	d.a.SQL("insert into t values (1)")
	if got := strings.TrimSpace(d.a.SQL("select sync_state from pg_stat_replication")); got != "sync" {
		d.t.Errorf("commits do not wait: %q", got)
	}
	d.tidy()
}

// tidy expects nothing beside the data that a copy leaves on its way.
func (d *duo) tidy() {
	d.t.Helper()
	for _, i := range []*postgrestest.Instance{d.a, d.b} {
		for _, name := range []string{copyBegun, copyDone, replaced} {
			if _, err := os.Lstat(i.Data + name); err == nil {
				d.t.Errorf("%s is left", i.Data+name)
			}
		}
	}
}

// unreadable expects the password in no file that others may read.
func (d *duo) unreadable() {
	d.t.Helper()
	for _, half := range d.half {
		err := filepath.WalkDir(filepath.Join(d.site.Dir, half.Server), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return present(err)
			}
			info, err := e.Info()
			if err != nil || info.Mode().Perm()&0o077 == 0 {
				return present(err)
			}
			if text, err := os.ReadFile(path); present(err) != nil || strings.Contains(string(text), half.Password) || strings.Contains(string(text), `ge\:h`) {
				d.t.Errorf("%s has the password, mode %v (%v)", path, info.Mode(), err)
			}
			return nil
		})
		if err != nil {
			d.t.Error(err)
		}
	}
}

// present leaves out that a file has gone meanwhile.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// apart expects two servers that were a pair, and of which nothing of it is left.
func (d *duo) apart() {
	d.t.Helper()
	d.tidy()
	for i, half := range d.half {
		if left, err := os.ReadDir(half.Folder); err != nil || slices.ContainsFunc(left, func(e fs.DirEntry) bool { return e.Name() != "document" && !strings.HasPrefix(e.Name(), dumpPrefix) }) {
			d.t.Errorf("%s: %v, %v", i, left, err)
		}
	}
	for _, i := range []*postgrestest.Instance{d.a, d.b} {
		i.SQL("insert into t values (9)")
		if got := i.SQL("select count(*) from pg_roles where rolname = 'mxone_replication'", "select count(*) from pg_replication_slots"); strings.TrimSpace(got) != "0\n0" {
			d.t.Errorf("left: %q", got)
		}
	}
}
