//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"mxcluster/internal/netns"
)

// sipClient asks a LIM's kamailio for its server, from a namespace of its own.
type sipClient struct {
	ns    *netns.NS
	addr  netip.Addr
	asked int
}

// connectSIP connects such a client.
func (l *Lab) connectSIP() (*sipClient, error) {
	prefix := labAddress(107)
	ns, err := l.network.addClient("sip", clientMAC(7), prefix)
	return &sipClient{ns: ns, addr: prefix.Addr()}, err
}

// await sends OPTIONS until a server answers.
func (c *sipClient) await(ctx context.Context, alias netip.Addr, server string) error {
	last := "nobody"
	for ctx.Err() == nil {
		if who, err := c.ask(alias); err == nil {
			last = who
		}
		if last == server {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(callEvery):
		}
	}
	return fmt.Errorf("waiting for the SIP server on %s to answer: %w (last: %s)", server, context.Cause(ctx), last)
}

// ask sends one OPTIONS and returns the server's name in the answer.
func (c *sipClient) ask(alias netip.Addr) (server string, err error) {
	var conn *net.UDPConn
	if err := c.ns.Do(func() error {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 0)))
		return err
	}); err != nil {
		return "", err
	}
	defer conn.Close()
	c.asked++
	text := fmt.Sprintf("OPTIONS sip:lim@%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bK%[3]d\r\nFrom: <sip:a@%[4]s>;tag=1\r\n"+
		"To: <sip:lim@%[1]s>\r\nCall-ID: %[3]d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n", alias, conn.LocalAddr(), c.asked, c.addr)
	if _, err := conn.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(alias, kamailioPort)); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
	return strings.TrimPrefix(line, "SIP/2.0 200 "), err
}
