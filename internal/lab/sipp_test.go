//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/netns"
)

// sipp is a SIPp in a namespace of its own beside the servers.
type sipp struct {
	ns   *netns.NS
	addr netip.Addr
	dir  string // of its scenarios and records
}

// connectSIPp plugs one in.
func (x *site) connectSIPp() (*sipp, error) {
	prefix := labAddress(107)
	ns, err := x.network.addClient("sip", clientMAC(7), prefix)
	if err != nil {
		return nil, err
	}
	s := &sipp{ns: ns, addr: prefix.Addr(), dir: filepath.Join(x.Dir, "sipp")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	for name, text := range sippScenarios {
		text = `<?xml version="1.0" encoding="us-ascii"?><scenario name="` + name + `">` + text + "</scenario>\n"
		if err := os.WriteFile(filepath.Join(s.dir, name+".xml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sippScenarios: whether the LIM is there, a user that registers from port 5091
// for an hour, and one that asks a registered user.
var sippScenarios = map[string]string{
	"options":  sippRequest("OPTIONS", "lim@[remote_ip]", ""),
	"register": sippRequest("REGISTER", "alice@[remote_ip]", "Contact: <sip:alice@[local_ip]:5091>;expires=3600\r\n"),
	"ask":      sippRequest("OPTIONS", "alice@[remote_ip]", ""),
	"phone": `<recv request="OPTIONS"/><send><![CDATA[
SIP/2.0 200 alice
[last_Via:]
[last_From:]
[last_To:];tag=1
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>`,
}

// sippRequest asks once and wants a 200.
func sippRequest(method, to, header string) string {
	return `<send><![CDATA[
` + method + ` sip:` + to + ` SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:` + to + `>;tag=[call_number]
To: <sip:` + to + `>
Call-ID: [call_id]
CSeq: 1 ` + method + `
Max-Forwards: 5
` + header + `Content-Length: 0

]]></send><recv response="200"/>`
}

// start runs a scenario from a port until ctx ends.
func (s *sipp) start(ctx context.Context, scenario string, port int, args ...string) (*exec.Cmd, error) {
	args = append([]string{netip.AddrPortFrom(labAddress(11).Addr(), kamailioPort).String(), "-sf", scenario + ".xml",
		"-i", s.addr.String(), "-p", strconv.Itoa(port), "-nostdin", "-timer_resol", "1"}, args...)
	cmd := exec.CommandContext(ctx, "sipp", args...)
	cmd.Dir = s.dir
	return cmd, s.ns.Do(cmd.Start)
}

// ask runs a scenario once; the error is that of a request that was not answered.
func (s *sipp) ask(ctx context.Context, scenario string) error {
	cmd, err := s.start(ctx, scenario, 5072, "-m", "1", "-recv_timeout", "3000")
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("sipp -sf %s.xml: %w", scenario, err)
	}
	return nil
}

// sippCaller asks the LIM 200 times a second, never a second time for the same,
// and knows of the answers what SIPp recorded.
type sippCaller struct {
	path string
	read int64 // bytes of the record

	rest    string
	last    time.Time
	from    string // who answered last
	longest time.Duration
	count   map[string]int // of the answers of each server
}

func (x *site) callSIPp(ctx context.Context, s *sipp) (*sippCaller, error) {
	c := &sippCaller{path: filepath.Join(s.dir, "messages"), count: map[string]int{}}
	cmd, err := s.start(ctx, "options", 5071, "-r", "200", "-l", "1000", "-nr", "-recv_timeout", "1000",
		"-trace_shortmsg", "-shortmessage_file", c.path)
	if err != nil {
		return nil, fmt.Errorf("starting sipp: %w", err)
	}
	x.Go(func(context.Context) error { _ = cmd.Wait(); return nil }) // it ends with the lab, unanswered calls count as errors
	return c, nil
}

// look reads what was recorded since the last look.
func (c *sippCaller) look() error {
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	raw := make([]byte, info.Size()-c.read)
	n, err := f.ReadAt(raw, c.read)
	c.read += int64(n)
	lines := strings.Split(c.rest+string(raw[:n]), "\n")
	c.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		c.note(line)
	}
	return err
}

// note takes one line: date, time, time since the epoch, S for sent or R for
// received, call, CSeq, and the first line of the message.
func (c *sippCaller) note(line string) {
	f := strings.Split(line, "\t")
	if len(f) != 7 || f[3] != "R" {
		return
	}
	at, err := time.Parse("2006-01-02 15:04:05.000000", f[0]+" "+f[1])
	server, ok := strings.CutPrefix(strings.TrimSpace(f[6]), "SIP/2.0 200 ")
	if err != nil || !ok {
		return
	}
	if !c.last.IsZero() {
		c.longest = max(c.longest, at.Sub(c.last))
	}
	c.last, c.from = at, server
	c.count[server]++
}

// await waits for a server to answer.
func (c *sippCaller) await(ctx context.Context, server string) error {
	return poll(ctx, server+" answers sipp", func() bool { return c.look() == nil && c.from == server })
}

// gap is the longest time between two answers since it was last asked for.
func (c *sippCaller) gap() time.Duration {
	g := c.longest
	c.longest = 0
	return g.Round(time.Millisecond)
}

// forget counts answers anew.
func (c *sippCaller) forget() { c.count = map[string]int{} }

// only reports whether one server answered and no other.
func (c *sippCaller) only(server string) bool { return c.count[server] > 0 && len(c.count) == 1 }

// phone answers for alice.
func (x *site) phone(ctx context.Context, s *sipp) error {
	cmd, err := s.start(ctx, "phone", 5091)
	if err != nil {
		return fmt.Errorf("starting sipp as a phone: %w", err)
	}
	x.Go(func(context.Context) error { _ = cmd.Wait(); return nil })
	return poll(ctx, "the phone listens", func() bool {
		var c net.PacketConn
		err := s.ns.Do(func() (err error) {
			c, err = net.ListenPacket("udp4", netip.AddrPortFrom(s.addr, 5091).String())
			return err
		})
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}
