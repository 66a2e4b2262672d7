package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dataSite are the servers of sshDocument, which reach each other without ssh:
// every command and every other end of a sync is a process of its own.
type dataSite struct {
	t       *testing.T
	dir     string
	program string
}

func newDataSite(t *testing.T) *dataSite {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &dataSite{t: t, dir: t.TempDir(), program: program}
	for _, name := range []string{"sb1", "srv1"} {
		if err := os.MkdirAll(s.path(name, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, s.path(name, "etc/cluster.yaml"), sshDocument)
		write(t, s.path(name, "etc/mxcluster.yaml"), fmt.Sprintf(
			"server: %s\nsync.rsh: env\nsync.remote_command: env MXCLUSTER_CONFIG_DIR=%[2]s/{server}/etc MXCLUSTER_STATE_DIR=%[2]s/{server}/var MXCLUSTER_RUN_DIR=%[2]s/{server}/run %[3]s\n",
			name, s.dir, program))
	}
	return s
}

func (s *dataSite) path(words ...string) string {
	return filepath.Join(append([]string{s.dir}, words...)...)
}

// command prepares a command line on a server.
func (s *dataSite) command(name, line string) *exec.Cmd {
	cmd := exec.Command(s.program, strings.Fields(line)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MXCLUSTER_CONFIG_DIR=" + s.path(name, "etc"),
		"MXCLUSTER_STATE_DIR=" + s.path(name, "var"), "MXCLUSTER_RUN_DIR=" + s.path(name, "run")}
	return cmd
}

// mx runs a command line, which must end with a code, and returns what it said.
func (s *dataSite) mx(name string, want int, line string) string {
	s.t.Helper()
	code, out := finish(s.t, s.command(name, line))
	if code != want {
		s.t.Fatalf("%s on %s: exit code %d, want %d\n%s", line, name, code, want, out)
	}
	return out
}

// data makes a folder of files that say what generation they are of.
func (s *dataSite) data(files, generation int) string {
	s.t.Helper()
	dir := s.t.TempDir()
	at := time.Now().Add(time.Duration(generation)*time.Second - time.Hour)
	for i := range files {
		name := filepath.Join(dir, fmt.Sprintf("%02d", i%50), fmt.Sprintf("file-%d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			s.t.Fatal(err)
		}
		text := fmt.Sprintf("file %d", i)
		if i%10 == 0 { // one in ten changes
			text += fmt.Sprintf(" of generation %d", generation)
		}
		write(s.t, name, strings.Repeat(text+"\n", 1+i%40))
		if err := os.Chtimes(name, at, at); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// newest is the name of the newest version on a server.
func (s *dataSite) newest(name string) string {
	s.t.Helper()
	first, _, _ := strings.Cut(s.mx(name, 0, "xdata list -o name"), "\n")
	return first
}

// same checks that the newest versions of both sides are one, by restoring them.
func (s *dataSite) same() {
	s.t.Helper()
	var trees []string
	for _, name := range []string{"srv1", "sb1"} {
		to := filepath.Join(s.t.TempDir(), "restored")
		s.mx(name, 0, "xdata restore --lim 1 "+s.newest(name)+" -q --to "+to)
		trees = append(trees, to)
	}
	if out, err := exec.Command("diff", "-r", trees[0], trees[1]).CombinedOutput(); err != nil {
		s.t.Errorf("the two sides differ: %v\n%.2000s", err, out)
	}
}

// Syncs of both sides, backups, prunes and verifications at once: each is done or
// says that it is busy, nobody ever sees half a version, and the next sync alone
// finds everything in order.
func TestDataAtOnce(t *testing.T) {
	needRoot(t)
	onDisks(t, nil, func() error { return dataAtOnce(t) })
}

func dataAtOnce(t *testing.T) error {
	s := newDataSite(t)
	for _, name := range []string{"srv1", "sb1"} {
		if err := inMemory(s.path(name, "var"), "size=200m,mode=755"); err != nil {
			return err
		}
	}
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(60, 0))
	s.mx("srv1", 0, "sync -q")
	for round := 1; round <= 2; round++ {
		from := s.data(60, round)
		lines := [][2]string{
			{"srv1", "xdata backup --lim 1 --no-sync -q --from " + from},
			{"srv1", "sync -q"}, {"sb1", "sync -q"}, {"srv1", "sync -q"}, {"sb1", "sync -q"},
			{"srv1", "xdata prune -q"}, {"sb1", "xdata prune -q --keep 1"}, {"sb1", "xdata prune -q"},
			{"srv1", "xdata verify -q"}, {"sb1", "xdata verify -q"}, {"sb1", "xdata list -o json"},
		}
		done, busy := s.atOnce(lines)
		t.Logf("round %d: %d done, %d busy", round, done, busy)
	}
	s.mx("srv1", 0, "xdata backup --lim 1 --from "+s.data(60, 9))
	s.mx("sb1", 0, "sync -q")
	s.same()
	for name, most := range map[string]int{"srv1": 3, "sb1": 2} {
		s.mx(name, 0, "xdata verify -q")
		versions := 0
		for _, entry := range names(t, s.path(name, "var/xdata")) {
			switch {
			case strings.HasPrefix(entry, "xdata_"):
				versions++
			case strings.HasPrefix(entry, ".staging"):
				t.Errorf("%s: left behind: %s", name, entry)
			}
		}
		if versions > most {
			t.Errorf("%s has %d versions, want %d at most", name, versions, most)
		}
	}
	return nil
}

// atOnce runs command lines at the same time. Each must be done or busy.
func (s *dataSite) atOnce(lines [][2]string) (done, busy int) {
	s.t.Helper()
	commands, said := make([]*exec.Cmd, len(lines)), make([]bytes.Buffer, len(lines))
	for i, l := range lines { // by this thread: the disks are there for its children alone
		commands[i] = s.command(l[0], l[1])
		commands[i].Stdout, commands[i].Stderr = &said[i], &said[i]
		if err := commands[i].Start(); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, cmd := range commands {
		_ = cmd.Wait() // the code says it
		switch code := cmd.ProcessState.ExitCode(); code {
		case 0:
			done++
		case 6:
			busy++
		default:
			s.t.Errorf("%s on %s: exit code %d\n%s", lines[i][1], lines[i][0], code, said[i].String())
		}
	}
	return done, busy
}

// A sync that is asked to wait outlasts whoever is at the data.
func TestSyncWaits(t *testing.T) {
	s := newDataSite(t)
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(10, 0))
	lock, err := os.OpenFile(s.path("srv1/var/xdata/.lock-1"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"sync -q", "sync -q --wait=1s", "xdata prune -q --lim 1", "xdata backup --lim 1 --no-sync --from " + s.data(1, 1)} {
		if out := s.mx("srv1", 6, line); !strings.Contains(out, "is in use by") {
			t.Errorf("%s: %q", line, out)
		}
	}
	s.mx("sb1", 6, "sync -q") // the other side says so, too
	waiting := s.command("srv1", "sync -q --here --wait=1m")
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Wait(); err != nil {
		t.Errorf("the sync that waits: %v", err)
	}
	s.same()
}

// The nightly job as it is installed says nothing while all is well.
func TestCronJob(t *testing.T) {
	s := newDataSite(t)
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(10, 0))
	jobs := 0
	for line := range strings.Lines(read(t, "../../packaging/cron.d/mxcluster")) {
		fields := strings.Fields(line)
		if len(fields) < 7 || strings.HasPrefix(line, "#") {
			continue
		}
		jobs++
		command := strings.Join(fields[6:], " ")
		for _, name := range []string{"sb1", "srv1"} {
			job := strings.NewReplacer("/etc/mxcluster/", s.path(name, "etc")+"/", "/run/systemd/system", "/nonexistent", " mxcluster ", " "+s.program+" ").Replace(command)
			cmd := s.command(name, "")
			cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", job}
			if code, out := finish(t, cmd); code != 0 || out != "" {
				t.Errorf("%s on %s: exit code %d: %q", command, name, code, out)
			}
		}
	}
	if jobs != 2 {
		t.Errorf("%d jobs, want 2", jobs)
	}
	s.same()
}

// Two thousand files, or ten thousand with MXCLUSTER_TEST_MANY_FILES=1, on disks in memory: what is looked at is the program, and not
// how fast this machine's disk makes files durable.
func TestManyFiles(t *testing.T) {
	needRoot(t)
	onDisks(t, nil, func() error {
		s := newDataSite(t)
		for _, name := range []string{"srv1", "sb1"} {
			if err := inMemory(s.path(name, "var"), "size=400m,mode=755"); err != nil {
				return err
			}
		}
		s.manyFiles()
		return nil
	})
}

func inMemory(disk, options string) error {
	return errors.Join(os.Mkdir(disk, 0o755), unix.Mount("tmpfs", disk, "tmpfs", 0, options))
}

func (s *dataSite) manyFiles() {
	files := 2_000
	if os.Getenv("MXCLUSTER_TEST_MANY_FILES") != "" {
		files = 10_000
	}
	from := s.data(files, 0)
	for _, step := range []struct{ name, line string }{
		{"srv1", "xdata backup --lim 1 --no-sync -q --from " + from}, {"srv1", "sync -q"}, {"sb1", "sync -q"},
		{"sb1", "xdata list"}, {"sb1", "xdata verify -q"},
		{"sb1", "xdata restore -q --lim 1 {version} --to " + s.path("sb1", "var/restored")}, {"sb1", "xdata prune -q --keep 1"},
	} {
		line := strings.ReplaceAll(step.line, "{version}", s.newest("sb1"))
		began := time.Now()
		s.mx(step.name, 0, line)
		s.t.Logf("%.30s: %s", line, time.Since(began).Round(time.Millisecond))
	}
	if out, err := exec.Command("diff", "-r", from, s.path("sb1", "var/restored")).CombinedOutput(); err != nil {
		s.t.Errorf("what was restored differs: %v\n%.2000s", err, out)
	}
}

// A full disk refuses what would not fit, before anything is written, and leaves
// what was there; made room on, all goes well.
func TestDataOnFullDisk(t *testing.T) {
	needRoot(t)
	onDisks(t, nil, func() error {
		s := newDataSite(t)
		disk := s.path("sb1/var")
		if err := inMemory(disk, "size=80m,mode=755"); err != nil {
			return err
		}
		s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(50, 0))
		s.mx("srv1", 0, "sync -q")
		before := s.newest("sb1")
		if err := fillUp(disk + "/filler"); err != nil {
			return err
		}
		s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(50, 1))
		for _, name := range []string{"srv1", "sb1"} {
			if out := s.mx(name, 3, "sync"); !strings.Contains(out, "MiB free") || !strings.Contains(out, "a standby keeps room for 2 more versions") {
				t.Errorf("%s: %q", name, out)
			}
		}
		s.mx("sb1", 3, "xdata backup --lim 1 --no-sync --from "+s.data(50, 2))
		s.mx("sb1", 3, "xdata restore --lim 1 "+before+" --to "+disk+"/restored")
		if got := s.newest("sb1"); got != before {
			t.Errorf("the newest is %s, before it was %s", got, before)
		}
		s.mx("sb1", 0, "xdata verify -q")
		if err := os.Remove(disk + "/filler"); err != nil {
			return err
		}
		s.mx("srv1", 0, "sync -q")
		s.same()
		return nil
	})
}

// fillUp leaves next to nothing of a small disk.
func fillUp(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 79<<20), f.Close())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test must run as root")
	}
	t.Skip("needs root: it mounts disks and becomes another user")
}

// Whoever may not read or write the data is told so, by the contract's code.
func TestDataOfAnotherUser(t *testing.T) {
	needRoot(t)
	s := newDataSite(t)
	for d := s.dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(3, 0))
	version := s.newest("srv1")
	from := s.data(3, 1)
	for _, line := range []string{
		"xdata list", "xdata verify", "xdata prune", "xdata backup --lim 1 --no-sync --from " + from, "sync",
		"xdata restore --lim 1 " + version + " --to " + s.path("restored"),
	} {
		cmd := s.command("srv1", line)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		code, out := finish(t, cmd)
		if code != 77 || !strings.Contains(out, "permission denied") {
			t.Errorf("%s: exit code %d: %s", line, code, out)
		}
	}
	s.mx("srv1", 0, "sync -q")
}
