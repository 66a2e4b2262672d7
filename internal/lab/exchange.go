//go:build linux

package lab

import (
	"context"
	_ "embed" // for the program that a service of the lab is
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// exchangePort is the UDP port on which the lab's telephone exchange answers.
const exchangePort = 5060

//go:embed exchange.sh
var exchangeScript []byte

// Exchange is a LIM's software in the lab: a daemon that answers each datagram sent to the LIM's
// alias with the datagram, the server and the LIM.
type Exchange struct {
	dir         string // folder of the server, below the lab folder
	server, lim string
	alias       string
	said        *os.File // where it reports that it is ready
}

// NewExchange returns the daemon for the environment of a service. It reports to said when it is
// ready.
func NewExchange(labDir string, getenv func(string) string, said *os.File) *Exchange {
	server := getenv("MXCLUSTER_SERVER")
	return &Exchange{
		dir: filepath.Join(labDir, server), server: server,
		lim: getenv("MXCLUSTER_LIM"), alias: getenv("MXCLUSTER_ALIAS"), said: said,
	}
}

// Run is the daemon. It ends with ctx.
func (x *Exchange) Run(ctx context.Context) error {
	addr, err := netip.ParseAddr(x.alias)
	if err != nil {
		return fmt.Errorf("starting the exchange of LIM %s: %w", x.lim, err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, exchangePort)))
	if err != nil {
		return fmt.Errorf("starting the exchange of LIM %s: %w", x.lim, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := x.detach(); err != nil {
		return fmt.Errorf("starting the exchange of LIM %s: %w", x.lim, err)
	}
	return x.answer(ctx, conn)
}

// detach turns this process into a daemon, and reports that it is ready.
func (x *Exchange) detach() error {
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(filepath.Join(x.dir, "run", "exchange-"+x.lim+".pid"), []byte(pid), 0o600); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	_, err = x.said.WriteString("ready\n")
	// The reader of the output waits until it is closed.
	for _, fd := range []int{unix.Stdin, unix.Stdout, unix.Stderr} {
		err = errors.Join(err, unix.Dup3(int(null.Fd()), fd, 0))
	}
	return err
}

func (x *Exchange) answer(ctx context.Context, conn *net.UDPConn) error {
	suffix := []byte(" " + x.server + " " + x.lim)
	buf := make([]byte, 1500)
	for {
		n, caller, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("answering calls: %w", err)
		}
		// While the alias is absent no answer can be sent; the caller asks again.
		_, _ = conn.WriteToUDPAddrPort(append(buf[:n:n], suffix...), caller)
	}
}

// installExchange writes the program of the LIMs' service.
func (l *Lab) installExchange() (path string, err error) {
	path = filepath.Join(l.Dir, "exchange")
	if err := os.WriteFile(path, exchangeScript, 0o700); err != nil {
		return "", fmt.Errorf("installing the exchange: %w", err)
	}
	return path, nil
}

// exchange calls the LIM's software on a server as the agent does.
func (s *Server) exchange(ctx context.Context, path string, lim int, action string) (*Result, error) {
	env := []string{
		"MXCLUSTER_SERVER=" + s.Name, fmt.Sprintf("MXCLUSTER_LIM=%d", lim), "MXCLUSTER_ALIAS=" + s.base.Addr().String(),
	}
	return s.Run(ctx, env, path, action)
}
