//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"mxcluster/internal/status"
)

// rehearsalsEnv says how often power is cut without a rehearsal, and in the middle of one
// of the same LIM and of another one; by default only the last, once.
const rehearsalsEnv = "MXCLUSTER_TEST_REHEARSALS"

func TestRehearsal(t *testing.T) { runScenario(t, "rehearsal", program(t)) }

// talker is software that makes itself heard in a rehearsal as loudly as it can, and
// hears no request to end.
const talker = `#!/bin/sh
f=${0%%/*}/$MXCLUSTER_SERVER/run/talker.$MXCLUSTER_LIM
case $1 in
start)
	if [ "$MXCLUSTER_REHEARSAL" ]; then
		%[1]s arp announce $MXCLUSTER_ALIAS --interface eth0 --count 3 >&2 || exit 1
		ping -c 1 -W 1 -I $MXCLUSTER_ALIAS %[2]s >/dev/null 2>&1 || true
	fi
	setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.2; : talker; done' </dev/null >/dev/null 2>&1 &
	echo $! >$f ;;
stop) [ -e $f ] && kill -9 $(cat $f) && rm $f; true ;;
status) [ -e $f ] || exit 3; kill -0 $(cat $f) ;;
esac
`

// rehearsalScenario: each LIM is started on the standby on trial, while it serves at home,
// and nothing of that is heard or left. A power cut in the middle of one ends it, and the
// LIM is taken over.
func rehearsalScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	script := filepath.Join(l.Dir, "talker")
	if err := os.WriteFile(script, fmt.Appendf(nil, talker, l.Exe, x.address(200).Addr()), 0o700); err != nil {
		return err
	}
	for _, lim := range []string{"1", "2"} {
		f.noError(x.mx(ctx, x.srv1, "lim", "set", lim, "--service", "exec:"+filepath.Join(l.Dir, "exchange"), "--service", "exec:"+script, "--rehearsable"), "lim set "+lim)
	}
	tap, err := x.standby.tap(ctx, []net.HardwareAddr{x.srv1.MAC, x.srv2.MAC}, 0, x.address(11).Addr().AsSlice(), x.address(12).Addr().AsSlice())
	if err != nil {
		return err
	}
	f.noError(within(ctx, 4*testStep, func(ctx context.Context) error { return x.mx(ctx, x.srv2, "rehearse", "--wait") }), "rehearsing")
	for lim := 1; lim <= 2; lim++ {
		f.noError(x.rehearsed(ctx, lim, "ok"), "the rehearsal")
	}
	frames := tap.count()
	f.check(frames == 0, "%d frames of what was rehearsed left the standby", frames)
	f.noError(x.stageEmpty(ctx), "after the rehearsals")
	row("two LIMs rehearsed, each with announcements and pings", fmt.Sprintf("%d frames on the standby's wire", frames), "0")

	cuts := []int{2}
	times, _ := strconv.Atoi(os.Getenv(rehearsalsEnv))
	for range times {
		cuts = append(cuts, 0, 1, 2)
	}
	for _, lim := range cuts {
		what := "power cut without a rehearsal"
		if lim != 0 {
			what = fmt.Sprintf("power cut of LIM 1 while LIM %d is rehearsed", lim)
			f.noError(x.mx(ctx, x.standby, "rehearse", "--lim", fmt.Sprint(lim)), what)
			f.noError(poll(ctx, "it is on stage", func() bool { return x.stageEmpty(ctx) != nil }), what)
		}
		from := time.Now()
		f.noError(x.cutPower(ctx), what)
		f.noError(within(ctx, testStep, func(ctx context.Context) error { return x.caller.WaitAnswer(ctx, "sb1", from) }), what)
		row(what, "silence "+milliseconds(x.caller.Between(from.Add(-10*callEvery), time.Now()).Silence), "")
		f.noError(x.await(ctx, 1, "sb1"), what)
		if lim != 0 {
			f.noError(x.rehearsed(ctx, lim, "aborted"), what)
		}
		f.noError(x.srv1.Boot(ctx), what)
		f.noError(x.startAgent(ctx, x.srv1), what)
		f.noError(awaitLIM(ctx, x.standby, 1, "is ready to fall back", fallbackReady), what)
		f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), what)
		f.noError(x.await(ctx, 1, "srv1"), what)
		f.noError(x.stageEmpty(ctx), what)
	}
	return f.err()
}

// rehearsed waits until the last rehearsal of a LIM is known to have ended so.
func (x *site) rehearsed(ctx context.Context, lim int, result string) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.srv2, lim, "rehearsal: "+result, func(l *status.StatusLIM) bool {
			return l.Rehearsal != nil && l.Rehearsal.Result == result && (result != "ok" || l.Takeover != nil && l.Takeover.Start != nil)
		})
	})
}

// stageEmpty looks for software of a rehearsal on the standby.
func (x *site) stageEmpty(ctx context.Context) error {
	out, code, err := shell(ctx, x.standby, "grep -alz MXCLUSTER_REHEARSAL=1 /proc/[0-9]*/environ 2>/dev/null")
	if err == nil && (code == 0 || len(bytes.TrimSpace([]byte(out))) > 0) {
		err = fmt.Errorf("something of a rehearsal is there: %s", out)
	}
	return err
}

// wiretap counts frames on a server's interface that come from addresses.
type wiretap struct {
	conn *packet.Conn
	port uint16 // of UDP, which counts from whatever address; 0: none
	mu   sync.Mutex
	seen int
}

// tap counts frames, of IPv4 and ARP, that leave a server with one of these addresses as
// their source, or from or to a port of UDP, 0: none. The frames of others pass its port, too.
func (s *Server) tap(ctx context.Context, others []net.HardwareAddr, udp uint16, from ...[]byte) (*wiretap, error) {
	port, err := net.InterfaceByName(s.Name)
	if err != nil {
		return nil, fmt.Errorf("looking for the switch's port: %w", err)
	}
	w := &wiretap{port: udp}
	if w.conn, err = packet.Listen(port, packet.Raw, unix.ETH_P_ALL, nil); err != nil {
		return nil, fmt.Errorf("listening at the switch's port: %w", err)
	}
	context.AfterFunc(ctx, func() { w.conn.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, _, err := w.conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if !slices.ContainsFunc(others, func(mac net.HardwareAddr) bool { return bytes.Equal(buf[6:12], mac) }) {
				w.note(buf[:n], from)
			}
		}
	}()
	return w, nil
}

// note counts a frame that has one of the addresses where IPv4 and ARP have their source, or
// the port.
func (w *wiretap) note(frame []byte, from [][]byte) {
	const ethernet, arpSource, ipSource, protocol, udp = 14, 14, 12, 9, 17
	if len(frame) < ethernet+20 {
		return
	}
	at := ethernet + ipSource
	if frame[12] == 0x08 && frame[13] == 0x06 {
		at = ethernet + arpSource
	}
	counts := slices.ContainsFunc(from, func(a []byte) bool { return bytes.Equal(frame[at:at+4], a) })
	if head := ethernet + 4*int(frame[ethernet]&0xf); w.port != 0 && frame[12] == 0x08 && frame[13] == 0 && frame[ethernet+protocol] == udp && len(frame) >= head+4 {
		source, target := binary.BigEndian.Uint16(frame[head:]), binary.BigEndian.Uint16(frame[head+2:])
		counts = counts || source == w.port || target == w.port
	}
	if counts {
		w.mu.Lock()
		w.seen++
		w.mu.Unlock()
	}
}

func (w *wiretap) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}
