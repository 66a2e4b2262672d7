package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/manager"
	"mxcluster/internal/manager/postgres/postgrestest"
)

// follow has a server follow, and expects that it streams then.
func (d *duo) follow(role manager.Role) manager.Followed {
	d.t.Helper()
	f, err := d.half[role].Follow(d.t.Context())
	if err != nil {
		d.t.Fatalf("%+v, %v\n%s", f, err, d.site.Log(d.half[role].Server, "main"))
	}
	d.await(role, "streaming", func(r manager.Report) bool { return r.Streams && !r.Writes })
	return f
}

// What is in the way of a standby that comes back is put right, and told where somebody has to know.
func TestStandbyComesBackInSpiteOf(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	d.both()
	type trouble struct {
		what string
		test func(*testing.T, *duo)
	}
	all := []trouble{{"lock files that are left over", leftOverLocks}, {"a passfile that others may read", openPassfile}}
	if os.Getenv(killsEnv) != "" {
		all = append(all, trouble{"a log that is gone", recycledLog})
	}
	for _, tc := range all {
		t.Run(tc.what, func(t *testing.T) { tc.test(t, d) })
	}
}

// It gets a fresh copy at once, while the other server goes on to write and to remove its log; no slot
// of the copy stays.
func recycledLog(t *testing.T, d *duo) {
	d.b.Crash()
	d.a.SQL("select pg_drop_replication_slot('mxcluster_sb1')")
	more := []string{"insert into t select coalesce(max(i), 0) + 1 from t", "select pg_switch_wal()", "checkpoint"}
	for range 3 {
		d.a.SQL(more...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for ctx.Err() == nil {
			d.a.SQL(more...)
		}
	}()
	defer func() {
		cancel()
		<-wrote
	}()
	began := time.Now()
	f := d.follow(manager.Standby)
	t.Logf("streams from a fresh copy after %s", time.Since(began))
	if f.Aside != "" || len(f.Notes) != 1 || f.Notes[0] != "the data on sb1 are a fresh copy of those of srv1: the log that it needed is gone there" {
		t.Errorf("%+v", f)
	}
	if got := strings.TrimSpace(d.a.SQL("select string_agg(slot_name, ' ') from pg_replication_slots")); got != "mxcluster_sb1" {
		t.Errorf("slots: %s", got)
	}
	d.tidy()
}

// What a loss of power leaves of a lock file is taken for what it is: also where its number is that
// of another process by now, or nothing is in it.
func leftOverLocks(t *testing.T, d *duo) {
	other := exec.Command("sleep", "3600")
	var st unix.Stat_t
	if err := unix.Stat(d.b.Data, &st); err != nil {
		t.Fatal(err)
	}
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	other.Dir = "/"
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait() // by that
	}()
	file := filepath.Join(d.b.Data, "postmaster.pid")
	for _, left := range []func(string) string{
		func(text string) string {
			_, rest, _ := strings.Cut(text, "\n")
			return fmt.Sprintf("%d\n%s", other.Process.Pid, rest)
		},
		func(string) string { return "" },
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d.b.Crash()
		d.gone(manager.Standby)
		if err := os.WriteFile(file, []byte(left(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := (&Link{Place: d.half[manager.Standby].Place}).Look(t.Context()); !r.SetUp || r.Running || r.Unclear {
			t.Errorf("with %q: %+v", left(string(text)), r)
		}
		d.follow(manager.Standby)
	}
}

// gone waits until nothing of a PostgreSQL that was killed runs.
func (d *duo) gone(role manager.Role) {
	d.t.Helper()
	l, err := d.half[role].own()
	if err != nil {
		d.t.Fatal(err)
	}
	for {
		left, err := l.processes()
		if err != nil {
			d.t.Fatal(err)
		}
		if !left {
			return
		}
		if pause(d.t.Context(), waitEvery) != nil {
			d.t.Fatal("it does not end")
		}
	}
}

// A passfile that others may read is none for PostgreSQL: it is put right, and that is said.
func openPassfile(t *testing.T, d *duo) {
	file := filepath.Join(d.half[manager.Standby].Folder, passFile)
	d.b.Crash()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	f := d.follow(manager.Standby)
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], file) || !strings.Contains(f.Notes[0], "0644") || !strings.Contains(f.Notes[0], "mxcluster manager reconfigure") {
		t.Errorf("%+v", f)
	}
	if err := os.Chown(file, 0, 0); err != nil {
		t.Fatal(err)
	}
	if done, err := d.setup(manager.Standby, 100); err != nil || !slices.Equal(done, []manager.StepID{manager.StepSecret}) {
		t.Errorf("%v, %v", done, err)
	}
	if f := d.follow(manager.Standby); len(f.Notes) > 0 {
		t.Errorf("%+v", f)
	}
}

// Without room for a copy nothing is changed; a disk that fills while the copy is made is named, with
// what is needed, and nothing of the copy stays.
func TestDiskThatIsFull(t *testing.T) {
	t.Parallel()
	site := postgrestest.New(t)
	disk := filepath.Join(site.Dir, "sb1")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=200m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	d := newDuoIn(t, site)
	d.must(manager.Master)
	leave := func(bytes int64) {
		t.Helper()
		var st unix.Statfs_t
		if err := unix.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		used := int64(st.Blocks-st.Bfree) * st.Bsize
		if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d,mode=755", used+bytes)); err != nil {
			t.Fatal(err)
		}
	}
	const mb = 1_000_000
	leave(20 * mb)
	done, err := d.setup(manager.Standby, 100)
	if err == nil || len(done) > 0 || !strings.Contains(err.Error(), "there is no room in "+disk) || !strings.Contains(err.Error(), " MB are free, ") {
		t.Errorf("%v, %v", done, err)
	}
	if left, err := os.ReadDir(d.half[manager.Standby].Folder); err == nil {
		t.Errorf("it has %v", left)
	}
	leave(200 * mb)
	if done, err = d.setup(manager.Standby, 3); slices.Contains(done, manager.StepClone) {
		t.Fatalf("%v, %v", done, err)
	}
	leave(40 * mb) // for the data, and not for the log beside them
	done, err = d.setup(manager.Standby, 100)
	if err == nil || !strings.HasPrefix(err.Error(), "clone: ") || !strings.Contains(err.Error(), "there is no room in "+disk) {
		t.Errorf("%v, %v", done, err)
	}
	d.tidy()
	if got := strings.TrimSpace(d.a.SQL("select count(*) from pg_replication_slots where slot_name like 'mxcopy%'")); got != "0" {
		t.Errorf("a slot of the copy is left: %s", got)
	}
	leave(200 * mb)
	d.must(manager.Standby)
}
