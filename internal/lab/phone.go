//go:build linux

package lab

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// phoneEvery is the time between two calls of a phone, silentAfter the time without an answer that
// counts as silence.
const (
	phoneEvery  = 20 * time.Millisecond
	silentAfter = 5 * phoneEvery
)

// phone is a client of a LIM for a lab that stays up: unlike a Caller it remembers the last answer
// and the last silence only.
type phone struct {
	conn   *net.UDPConn
	target net.Addr

	mu      sync.Mutex
	at      time.Time // of the last answer; zero: none yet
	by      string    // server of the last answer
	silence *Silence  // the last one that was over; nil: none yet
}

// addPhones connects one client to the switch, which calls all of these addresses until the lab
// ends.
func (l *Lab) addPhones(aliases []netip.Addr) ([]*phone, error) {
	client, err := l.network.addClient("phone", clientMAC(0), labAddress(100))
	if err != nil {
		return nil, err
	}
	var phones []*phone
	for _, alias := range aliases {
		p := &phone{target: net.UDPAddrFromAddrPort(netip.AddrPortFrom(alias, exchangePort))}
		err := client.Do(func() (err error) {
			p.conn, err = net.ListenUDP("udp4", nil)
			return err
		})
		if err != nil {
			return nil, err
		}
		phones = append(phones, p)
		l.Go(p.run)
	}
	return phones, nil
}

// run calls until ctx is done.
func (p *phone) run(ctx context.Context) error {
	return askAndListen(ctx, p.conn, phoneEvery, func() error {
		// A call that cannot be sent is unanswered.
		_, _ = p.conn.WriteTo([]byte("hello"), p.target)
		return nil
	}, func(ctx context.Context) {
		buf := make([]byte, 1500)
		for ctx.Err() == nil {
			if n, _, err := p.conn.ReadFromUDPAddrPort(buf); err == nil {
				p.note(buf[:n], time.Now())
			}
		}
	})
}

// note records an answer: what was sent, server and LIM.
func (p *phone) note(answer []byte, at time.Time) {
	fields := bytes.Fields(answer)
	if len(fields) != 3 {
		return
	}
	server := string(fields[1])
	p.mu.Lock()
	defer p.mu.Unlock()
	if silent := at.Sub(p.at); !p.at.IsZero() && silent >= silentAfter {
		p.silence = &Silence{Ms: silent.Milliseconds(), At: at.UTC(), From: p.by, To: server}
	}
	p.at, p.by = at, server
}

// tell adds what the phone saw to the state of its LIM.
func (p *phone) tell(l *LIMState, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() {
		return
	}
	silent := now.Sub(p.at).Milliseconds()
	l.AnsweredBy, l.SilentMs, l.Silence = new(p.by), &silent, p.silence
}
