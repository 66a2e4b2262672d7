package lab

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// kamailioScript is a real telephone service as a LIM's software: Debian's SIP
// server, bound to the alias, which says on which server it is.
const kamailioScript = `#!/bin/sh
d=${0%/*}/$MXCLUSTER_SERVER/run/kamailio
running() { [ -r "$d/pid" ] && read -r pid <"$d/pid" && kill -0 "$pid" 2>/dev/null; }
case $1 in
start)
	running && exit 0
	mkdir -p "$d"
	cat >"$d/cfg" <<END
#!KAMAILIO
children=2
disable_tcp=yes
listen=udp:$MXCLUSTER_ALIAS:5070
loadmodule "sl.so"
request_route {
	sl_send_reply("200", "$MXCLUSTER_SERVER");
}
END
	exec kamailio -f "$d/cfg" -P "$d/pid" -Y "$d" -m 16 -M 4 >/dev/null 2>&1
	;;
stop)
	running && kill "$pid"
	while running; do sleep 0.05; done
	;;
status) running || exit 3 ;;
esac
`

func TestKamailio(t *testing.T) {
	if _, err := exec.LookPath("kamailio"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("kamailio is not installed")
	}
	runScenario(t, "kamailio", program(t))
}

// kamailioScenario: a preloaded LIM that is a SIP server on both sides, bound to
// one alias at once; a caller sends OPTIONS, 200 a second, through a power cut and
// a fallback by order.
func kamailioScenario(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	script := filepath.Join(l.Dir, "kamailio")
	if err := os.WriteFile(script, []byte(kamailioScript), 0o700); err != nil {
		return err
	}
	x.srv1.SetBase(labAddress(21))
	f.noError(x.mx(ctx, x.srv1, "create", "c1", "--standby", "sb1", "--failover-after", "200ms", "--lim", "1=192.0.2.21", "--wait"), "create")
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+filepath.Join(l.Dir, "exchange"), "--service", "exec:"+script), "lim set")
	if r, err := x.srv1.Run(ctx, []string{"MXCLUSTER_SERVER=srv1", "MXCLUSTER_LIM=1", "MXCLUSTER_ALIAS=192.0.2.11"}, script, "start"); err != nil || r.Code != 0 {
		return fmt.Errorf("starting kamailio on srv1: %w, %+v", err, r)
	}
	f.noError(x.mx(ctx, x.srv1, "preload", "c1", "--wait"), "preload")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "loading")
	sip, err := x.callSIP(ctx)
	if err != nil {
		return err
	}
	for _, s := range []*Server{x.srv1, x.standby} {
		// 192.0.2.11:5070, as the kernel lists it
		out, code, err := shell(ctx, s, "grep 0B0200C0:13CE /proc/net/udp")
		f.check(err == nil && code == 0, "kamailio on %s is not bound to the alias: %s %v", s.Name, out, err)
	}
	f.noError(poll(ctx, "srv1 answers", func() bool { return sip.last() == "srv1" }), "before")
	f.check(sip.only("srv1"), "somebody else answered while srv1 served: %v", sip.answers())
	f.noError(x.cutPower(ctx), "power cut")
	f.noError(poll(ctx, "sb1 answers", func() bool { return sip.last() == "sb1" }), "takeover")
	sip.forget()
	x.say("the longest time without an answer, power cut: %s", sip.gap())
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.awaitPreloaded(ctx, x.srv1, "sb1"), "loading srv1")
	f.check(sip.only("sb1"), "somebody else answered while sb1 served: %v", sip.answers())
	sip.gap()
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	f.noError(poll(ctx, "srv1 answers", func() bool { return sip.last() == "srv1" }), "fallback")
	x.say("the longest time without an answer, fallback by order: %s", sip.gap())
	return f.err()
}

// sipCaller sends OPTIONS to the alias and notes who answers.
type sipCaller struct {
	mu      sync.Mutex
	at      time.Time
	longest time.Duration
	from    string
	count   map[string]int // since forget
}

// callSIP connects a caller of its own to the switch.
func (x *site) callSIP(ctx context.Context) (*sipCaller, error) {
	ns, err := x.network.addClient("sip", clientMAC(7), labAddress(107))
	if err != nil {
		return nil, err
	}
	c := &sipCaller{count: map[string]int{}}
	var conn *net.UDPConn
	if err := ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(labAddress(107).Addr(), 5070)))
		return err
	}); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	x.Go(func(ctx context.Context) error { c.send(ctx, conn); return nil })
	x.Go(func(context.Context) error { c.listen(conn); return nil })
	return c, nil
}

func (c *sipCaller) send(ctx context.Context, conn *net.UDPConn) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	to := netip.AddrPortFrom(labAddress(11).Addr(), 5070)
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text := fmt.Sprintf("OPTIONS sip:lim@192.0.2.11 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.107:5070;branch=z9hG4bK%d\r\n"+
			"From: <sip:a@192.0.2.107>;tag=1\r\nTo: <sip:lim@192.0.2.11>\r\nCall-ID: %d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n", i, i)
		_, _ = conn.WriteToUDPAddrPort([]byte(text), to) // lost ones are what is measured
	}
}

func (c *sipCaller) listen(conn *net.UDPConn) {
	buf := make([]byte, 2000)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		now := time.Now()
		c.mu.Lock()
		if !c.at.IsZero() {
			c.longest = max(c.longest, now.Sub(c.at))
		}
		c.at, c.from = now, strings.TrimPrefix(line, "SIP/2.0 200 ")
		c.count[c.from]++
		c.mu.Unlock()
	}
}

func (c *sipCaller) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from
}

// gap is the longest time between two answers since it was last asked for.
func (c *sipCaller) gap() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.longest
	c.longest = 0
	return g.Round(time.Millisecond)
}

func (c *sipCaller) answers() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

// forget counts answers anew.
func (c *sipCaller) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count = map[string]int{}
}

// only reports whether one server answered and no other.
func (c *sipCaller) only(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[server] > 0 && len(c.count) == 1
}
