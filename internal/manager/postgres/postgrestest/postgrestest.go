//go:build linux

// Package postgrestest runs Debian's PostgreSQL for tests, as its own user and in folders of
// the test.
package postgrestest

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Site is a set of folders in which instances of PostgreSQL can be made.
type Site struct {
	Dir   string
	Major int

	t    testing.TB
	user syscall.Credential
	bin  string // folder of the server's own programs
}

// New returns folders that are empty. Where PostgreSQL or root is missing, the test fails if
// the environment has CI=true, since a test that did not run proves nothing there; else it is
// skipped.
func New(t testing.TB) *Site {
	t.Helper()
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	u, err := user.Lookup("postgres")
	if len(dirs) == 0 || err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs root and PostgreSQL: %v; install postgresql", err)
		}
		t.Skipf("needs root and PostgreSQL: %v; install postgresql", err)
	}
	s := &Site{t: t, bin: filepath.Dir(dirs[len(dirs)-1])}
	if s.Major, err = strconv.Atoi(filepath.Base(filepath.Dir(s.bin))); err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	s.user = syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	// The folders of t are root's alone.
	if s.Dir, err = os.MkdirTemp("", "postgrestest"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.Dir) })
	s.must(os.Chmod(s.Dir, 0o755))
	return s
}

func (s *Site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ConfRoot is where the configuration of a server's instances is, as postgresql-common has it.
func (s *Site) ConfRoot(server string) string { return filepath.Join(s.Dir, server, "etc") }

// Instance is one PostgreSQL.
type Instance struct {
	Data string // its folder

	site    *Site
	port    string
	conf    string
	sockets string
	running *exec.Cmd
	ended   chan struct{} // closed when it has
}

// Make makes an instance of a server in the layout of postgresql-common, which is not started.
// It listens on a socket and, with more, whose lines go into its configuration, elsewhere.
func (s *Site) Make(server, name string, port int, more string) *Instance {
	s.t.Helper()
	i := &Instance{site: s, port: strconv.Itoa(port), conf: filepath.Join(s.ConfRoot(server), strconv.Itoa(s.Major), name),
		Data: filepath.Join(s.Dir, server, "data-"+name), sockets: filepath.Join(s.Dir, server, "run")}
	for _, dir := range []string{i.conf, i.sockets, i.Data} {
		s.must(os.MkdirAll(dir, 0o755))
	}
	for _, dir := range []string{i.sockets, i.Data} {
		s.must(os.Chown(dir, int(s.user.Uid), int(s.user.Gid)))
	}
	s.must(os.Chmod(i.Data, 0o700))
	s.Run("initdb", "--pgdata", i.Data, "--no-sync", "--auth-local", "peer", "--auth-host", "scram-sha-256", "--no-instructions", "--encoding", "UTF8", "--locale", "C.UTF-8")
	for _, file := range []string{"pg_hba.conf", "pg_ident.conf"} {
		s.must(os.Rename(filepath.Join(i.Data, file), filepath.Join(i.conf, file)))
	}
	text := "data_directory = '" + i.Data + "'\nhba_file = '" + i.conf + "/pg_hba.conf'\nident_file = '" + i.conf + "/pg_ident.conf'\n" +
		"unix_socket_directories = '" + i.sockets + "'\nlisten_addresses = ''\nport = " + i.port + "\nfsync = off\nshared_buffers = 16MB\nlog_min_messages = fatal\n" + more
	s.must(os.WriteFile(filepath.Join(i.conf, "postgresql.conf"), []byte(text), 0o644))
	// Where pg_ctlcluster starts it.
	logs := filepath.Join(s.Dir, server, "log-"+name)
	s.must(os.WriteFile(logs, nil, 0o666))
	s.must(os.Chown(logs, int(s.user.Uid), int(s.user.Gid)))
	s.must(os.Symlink(logs, filepath.Join(i.conf, "log")))
	s.t.Cleanup(i.Crash)
	return i
}

// Crash ends the instance, whoever has started it, without a last word.
func (i *Instance) Crash() {
	text, err := os.ReadFile(filepath.Join(i.Data, "postmaster.pid"))
	if err != nil {
		return // it does not run
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return
	}
	children, _ := os.ReadFile("/proc/" + line + "/task/" + line + "/children") // they would see to it late
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
}

// Append adds lines to the configuration or to pg_hba.conf.
func (i *Instance) Append(file, text string) {
	i.site.t.Helper()
	f, err := os.OpenFile(filepath.Join(i.conf, file), os.O_APPEND|os.O_WRONLY, 0)
	i.site.must(err)
	_, err = f.WriteString(text)
	i.site.must(err)
	i.site.must(f.Close())
}

// command is one of the server's own programs, as its user. It ends with the test's process.
func (s *Site) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Env = s.Dir, []string{"LANG=C.UTF-8", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &s.user}
	return cmd
}

// Run runs one of the server's own programs, as its user, and returns what it prints.
func (s *Site) Run(program string, args ...string) string {
	s.t.Helper()
	out, err := s.command(program, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// SQL carries statements out as the superuser, each by itself, and returns what they print.
func (i *Instance) SQL(statements ...string) string {
	i.site.t.Helper()
	args := []string{"-h", i.sockets, "-p", i.port, "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	return i.site.Run("psql", args...)
}

// Start starts the instance, and returns when it takes connections. It ends with the test.
func (i *Instance) Start() {
	t := i.site.t
	t.Helper()
	// Output goes to a file: what is waited for does not hang on who else holds a pipe.
	log, err := os.Create(filepath.Join(i.site.Dir, "log-"+filepath.Base(i.Data)))
	i.site.must(err)
	defer log.Close()
	i.running = i.site.command("postgres", "-c", "config_file="+filepath.Join(i.conf, "postgresql.conf"), "-D", i.Data)
	i.running.SysProcAttr.Pdeathsig = syscall.SIGKILL
	i.running.Stdout, i.running.Stderr = log, log
	started := make(chan error)
	i.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan<- struct{}) {
		defer close(ended)
		runtime.LockOSThread() // it would die with the thread that starts it; Pdeathsig is about that
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // by a signal
		}
	}(i.running, i.ended)
	i.site.must(<-started)
	t.Cleanup(i.Stop)
	for i.site.command("pg_isready", "-q", "-h", i.sockets, "-p", i.port).Run() != nil {
		select {
		case <-i.ended:
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL ended:\n%s", said)
		case <-t.Context().Done():
			t.Fatal("PostgreSQL does not come up")
		default:
		}
	}
}

// Stop ends the instance in an orderly way. One that has ended is left alone.
func (i *Instance) Stop() { i.end(syscall.SIGINT) }

// Kill ends the instance without a last word, as a loss of power does. Its lock file stays.
func (i *Instance) Kill() { i.end(syscall.SIGKILL) }

func (i *Instance) end(sig syscall.Signal) {
	if i.running == nil {
		return
	}
	_ = i.running.Process.Signal(sig) // it may have ended
	<-i.ended
	i.running = nil
}

// Clone puts a copy of another instance, which is asked by a connection string, in the place of
// this one's data; it follows that one by a slot when it is started. The instance must not run.
func (i *Instance) Clone(source, slot string) {
	i.site.t.Helper()
	i.site.must(os.RemoveAll(i.Data))
	i.site.must(os.Mkdir(i.Data, 0o700))
	i.site.must(os.Chown(i.Data, int(i.site.user.Uid), int(i.site.user.Gid)))
	i.site.Run("pg_basebackup", "--pgdata", i.Data, "--dbname", source, "--slot", slot, "--checkpoint", "fast", "--no-sync", "--write-recovery-conf")
}

// Log is what an instance has logged where pg_ctlcluster started it.
func (s *Site) Log(server, name string) string {
	text, err := os.ReadFile(filepath.Join(s.Dir, server, "log-"+name))
	s.must(err)
	return string(text)
}
