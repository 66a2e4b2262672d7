package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

const (
	socketName = "agent.sock"

	// maxPath is what sun_path of sockaddr_un holds, without its final zero.
	maxPath = 107
)

// SocketPath returns the path of the socket of an agent that listens in a folder.
func SocketPath(folder string) string { return filepath.Join(folder, socketName) }

// Listener is the agent's end of the control socket.
type Listener struct {
	net    *net.UnixListener
	lock   *os.File
	guests guests
	group  string
}

// AllowGroup has members of a group give orders, beside root and the agent's own user; "": nobody
// else. It is called before Serve.
func (l *Listener) AllowGroup(name string) { l.group = name }

// ListenWhereRoom is Listen, at spare where the file system of path has no room for a
// socket: an agent that serves without being spoken to is better than none. While
// another agent lives at either of the two it fails with fault.Busy.
func ListenWhereRoom(path, spare string) (*Listener, error) {
	if _, err := os.Stat(spare + ".lock"); err == nil {
		lock, err := acquire(spare + ".lock")
		if err != nil && !noRoom(err) {
			return nil, err
		}
		if err == nil {
			lock.Close()
		}
	}
	l, err := Listen(path)
	if !noRoom(err) {
		return l, err
	}
	l, spareErr := Listen(spare)
	if spareErr != nil {
		return nil, errors.Join(err, spareErr)
	}
	return l, nil
}

// Spare reports whether the listener is at another place than path.
func (l *Listener) Spare(path string) bool { return l.net.Addr().String() != path }

// noRoom tells whether a file system has no room, or takes nothing at all.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// Listen makes the socket at path, open to every local user, and its folder
// where that is missing. The socket of a dead agent is replaced; while another
// agent lives, even a hung one, Listen fails with fault.Busy.
func Listen(path string) (*Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, listenError(err, path)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, listenError(err, path)
	}
	return &Listener{net: l, lock: lock}, nil
}

// makeFolder makes a folder that everybody can enter, whatever the umask. One
// that is there stays as it is.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// acquire takes the lock that says an agent lives. The kernel drops it with
// the process, so that it is never stale, as a socket or a PID file can be.
// Its file stays: removing it would let two agents lock two different files.
// It is closed to others, who could hold the lock otherwise.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, listenError(err, path)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fault.New(fault.Busy,
			"see it with: mxcluster agent status; end it with: mxcluster agent stop",
			"agent runs already in %s", filepath.Dir(path))
	}
	return nil, listenError(err, path)
}

// bind replaces whatever socket a dead agent left. The lock is held, so that
// nobody else does the same now.
func bind(path string) (*net.UnixListener, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// Connecting needs the permission to write; the umask took it away.
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func listenError(err error, path string) error {
	code, hint := fault.Failed, ""
	if errors.Is(err, fs.ErrPermission) {
		code, hint = fault.NotPermitted, "run the agent as root, or choose another folder with --run-dir"
	}
	return fault.Wrap(err, code, hint, "listening at %s", path)
}

func checkPath(path string) error {
	if len(path) <= maxPath {
		return nil
	}
	return fault.New(fault.Usage, "choose a shorter folder with --run-dir",
		"socket path %s has %d bytes, the kernel takes %d", path, len(path), maxPath)
}

// Accept returns the next connection, with its caller's identity known. Those
// beyond the limits for users who may only read are closed unanswered.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.net.AcceptUnix()
		if err != nil {
			return nil, err
		}
		p, err := peerOf(c)
		if err != nil { // gone already
			c.Close()
			continue
		}
		known := &conn{Conn: c, peer: p, release: func() {}}
		if p.mayChange() {
			return known, nil
		}
		known.release = func() { l.guests.leave(known) }
		if l.guests.admit(known) {
			return known, nil
		}
		c.Close()
	}
}

// Close removes the socket, if Serve has not done so, and lets the next agent
// in: call it last, when this one has put everything in order.
func (l *Listener) Close() error {
	err := l.net.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, l.lock.Close())
}

// Addr returns the socket's path.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// socketOnly is a Listener whose lock survives its Close, for net/http, which
// closes what it serves.
type socketOnly struct{ *Listener }

// Close removes the socket.
func (s socketOnly) Close() error { return s.net.Close() }
