//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mxcluster/internal/netns"
)

// sipp is a SIPp in a namespace of its own beside the servers.
type sipp struct {
	ns       *netns.NS
	addr     netip.Addr
	dir      string // of its scenarios and records
	children *processes
}

// connectSIPp plugs one in.
func (x *site) connectSIPp() (*sipp, error) {
	prefix := labAddress(107)
	ns, err := x.network.addClient("sip", clientMAC(7), prefix)
	if err != nil {
		return nil, err
	}
	s := &sipp{ns: ns, addr: prefix.Addr(), dir: filepath.Join(x.Dir, "sipp"), children: x.children}
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

// start runs a scenario from a port. It ends with the lab at the latest.
func (s *sipp) start(scenario string, port int, args ...string) (child *process, err error) {
	exe, err := exec.LookPath("sipp")
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	args = append([]string{exe, netip.AddrPortFrom(labAddress(11).Addr(), kamailioPort).String(), "-sf", scenario + ".xml",
		"-i", s.addr.String(), "-p", strconv.Itoa(port), "-nostdin", "-timer_resol", "1"}, args...)
	err = s.ns.Do(func() error {
		child, err = s.children.start(args, &syscall.ProcAttr{Dir: s.dir, Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}})
		return err
	})
	return child, err
}

// ask runs a scenario once; the error is that of a request that was not answered.
func (s *sipp) ask(ctx context.Context, scenario string) error {
	child, err := s.start(scenario, 5072, "-m", "1", "-recv_timeout", "3000")
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-child.ended:
	}
	if code := child.exitCode(); code != 0 {
		return fmt.Errorf("sipp -sf %s.xml: exit code %d", scenario, code)
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

func (s *sipp) call() (*sippCaller, error) {
	c := &sippCaller{path: filepath.Join(s.dir, "messages"), count: map[string]int{}}
	_, err := s.start("options", 5071, "-r", "200", "-l", "1000", "-nr", "-recv_timeout", "1000",
		"-trace_shortmsg", "-shortmessage_file", c.path)
	return c, err
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
func (s *sipp) phone(ctx context.Context) error {
	if _, err := s.start("phone", 5091); err != nil {
		return err
	}
	return poll(ctx, "the phone listens", func() bool {
		var sockets []byte
		err := s.ns.Do(func() (err error) {
			sockets, err = os.ReadFile("/proc/thread-self/net/udp")
			return err
		})
		return err == nil && bytes.Contains(sockets, []byte(":13E3 ")) // 5091
	})
}
