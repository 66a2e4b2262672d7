package member

import (
	"fmt"
	"log"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// fromBase is memberlist's own transport with connections that leave from the
// base address. The kernel would choose the subnet's primary address, which may
// be the alias of a LIM: a connection from that breaks when the LIM moves, and
// reaches another server when the alias is there.
type fromBase struct {
	*memberlist.NetTransport
	base net.IP
}

// openTransport binds UDP and TCP to the base address.
func openTransport(cfg Config) (*fromBase, error) {
	base := cfg.Bind.Addr()
	t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{base.String()}, BindPort: int(cfg.Bind.Port()),
		Logger: log.New(logWriter{cfg.Log}, "", 0),
	})
	if err != nil {
		return nil, fmt.Errorf("binding to the base address: %w", err)
	}
	return &fromBase{NetTransport: t, base: base.AsSlice()}, nil
}

// DialAddressTimeout connects to another server.
func (t *fromBase) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: t.base}}
	return d.Dial("tcp", to.Addr)
}

// DialTimeout is DialAddressTimeout for an address without a name.
func (t *fromBase) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: to}, timeout)
}
