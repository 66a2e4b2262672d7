//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"golang.org/x/sys/unix"

	"mxcluster/internal/alarms"
	"mxcluster/internal/sinks"
	"mxcluster/internal/snmp"
)

// alarmsEnv, if set, has the tests raise alarms of more kinds; it takes a quarter of an hour. If it
// is not 1, it has names of alarms, with commas, and those alone are raised.
const alarmsEnv = "MXCLUSTER_TEST_ALARMS"

func TestAlarmsReachEverySink(t *testing.T) { runScenario(t, "alarms", program(t)) }

// told is a word that a sink was told.
type told struct {
	sink, state string
	alarms.Key
}

// ears are the far ends of the sinks of all servers: a program, an SNMP manager, and journals.
type ears struct {
	*site
	mu    sync.Mutex
	heard []told
}

const (
	earProgram = "program"
	earManager = "manager"
	earJournal = "journal"
)

// earSinks are where each alarm is to be heard.
func earSinks() []string { return []string{earProgram, earManager, earJournal} }

func (x *ears) hear(w told) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard = append(x.heard, w)
}

// count is how often a sink was told something.
func (x *ears) count(sink, state string, key alarms.Key) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range x.heard {
		if w == (told{sink, state, key}) {
			n++
		}
	}
	return n
}

// listen opens the far ends, and has the servers tell them.
func (x *ears) listen(ctx context.Context) error {
	program := filepath.Join(x.Dir, "told")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec cat >\"$(mktemp -p \"$0.d\" XXXXXXXX.new)\"\n"), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(program+".d", 0o700); err != nil {
		return err
	}
	inside, err := x.network.addClient("manager", clientMAC(7), labAddress(110))
	if err != nil {
		return err
	}
	var traps net.PacketConn
	if err := inside.Do(func() (err error) {
		traps, err = net.ListenPacket("udp4", labAddress(110).Addr().String()+":162")
		return err
	}); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { traps.Close() })
	go x.takeTraps(traps)
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
		journal, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: x.journal(s), Net: "unixgram"})
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { journal.Close() })
		go x.takeEntries(journal)
	}
	x.settings += fmt.Sprintf("alarms:\n  exec: %s\n  snmp:\n    targets: %s\n", program, labAddress(110).Addr())
	return nil
}

func (x *ears) journal(s *Server) string { return filepath.Join(x.Dir, s.Name+".journal") }

// takeTraps reads what the manager gets.
func (x *ears) takeTraps(conn net.PacketConn) {
	states := map[string]string{snmp.Root + ".0.1": sinks.Raised, snmp.Root + ".0.2": sinks.Cleared}
	buf := make([]byte, 65536)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		p, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "public"}).UnmarshalTrap(buf[:n], false)
		if err != nil || len(p.Variables) < 6 {
			x.say("a trap that is none: %v", err)
			continue
		}
		text := func(i int) string { b, _ := p.Variables[i].Value.([]byte); return string(b) }
		kind, _ := p.Variables[1].Value.(string)
		lim, _ := p.Variables[4].Value.(int)
		x.hear(told{earManager, states[kind], alarms.Key{Name: alarms.Name(text(2)), LIM: lim, Server: text(5)}})
	}
}

// takeEntries reads what a journal gets.
func (x *ears) takeEntries(conn net.Conn) {
	buf := make([]byte, 65536)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		fields := map[string]string{}
		for line := range bytes.Lines(buf[:n]) {
			name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
			fields[name] = value
		}
		lim, _ := strconv.Atoi(fields["MXCLUSTER_LIM"])
		x.hear(told{earJournal, fields["MXCLUSTER_STATE"], alarms.Key{Name: alarms.Name(fields["MXCLUSTER_ALARM"]), LIM: lim, Server: fields["MXCLUSTER_SERVER"]}})
	}
}

// takeFiles reads what the program was told since it was looked at last.
func (x *ears) takeFiles() error {
	files, err := filepath.Glob(filepath.Join(x.Dir, "told.d", "*.new"))
	for _, file := range files {
		text, readErr := os.ReadFile(file)
		var m sinks.Message
		if readErr != nil || json.Unmarshal(text, &m) != nil {
			continue // it is being written
		}
		x.hear(told{earProgram, m.State, alarms.Key{Name: alarms.Name(m.Name), LIM: m.LIM, Server: m.Server}})
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// startAgent starts an agent on a server with a journal of its own, which its log goes to, as far as
// it can see.
func (x *ears) startAgent(ctx context.Context, s *Server) error {
	if err := s.shell(ctx, fmt.Sprintf("[ -S /run/systemd/journal/socket ] && [ -e /run/ours ] || { mount -t tmpfs none /run && mkdir -p /run/systemd/journal && touch /run/ours /run/systemd/journal/socket && mount --bind '%s' /run/systemd/journal/socket; }", x.journal(s))); err != nil {
		return err
	}
	log, err := os.OpenFile(s.agentLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(log.Fd()), &st); err != nil {
		return err
	}
	if s.agent != nil {
		s.agent.close()
	}
	if s.agent, err = start(ctx, x.Dir, s.Name, []string{"mxcluster", "agent", "run"}, []string{fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino)}, Stdio{Out: log, Err: log}); err != nil {
		return err
	}
	return s.awaitAgent(ctx)
}

// restart starts the agents of a site again, with the settings of now.
func (x *ears) restart(ctx context.Context, servers ...*Server) error {
	for _, s := range servers {
		if err := s.writeSettings(x.settings); err != nil {
			return err
		}
		if s.agent != nil {
			if err := s.SignalAgent(ctx, unix.SIGKILL); err != nil {
				return err
			}
		}
		if err := x.startAgent(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// boot gives a server its power back, and starts its agent.
func (x *ears) boot(ctx context.Context, s *Server) error {
	return errors.Join(s.Boot(ctx), x.startAgent(ctx, s))
}

// alarmCause is something that is done for an alarm to be raised, and undone for it to be cleared.
type alarmCause struct {
	alarms.Key
	make, end func(context.Context) error
}

// alarmsScenario: an alarm is raised by what it is about, cleared when that is over, and both are
// told once at each sink.
func alarmsScenario(ctx context.Context, l *Lab) error {
	x := &ears{site: newEmptySite(l)}
	x.settings += "arp:\n  refresh: 1s\nservices:\n  restarts: 0\nfallback:\n  hold: 3s\n"
	// The agents are started again before there is a cluster: nothing is taken over meanwhile.
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, func(context.Context) error { return x.listen(ctx) }, func(ctx context.Context) error { return x.restart(ctx, x.srv1, x.srv2, x.standby) },
		func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) }} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	var f findings
	for _, lim := range []int{1, 2} {
		f.noError(x.await(ctx, lim, fmt.Sprintf("srv%d", lim)), "at the beginning")
	}
	only := strings.Split(os.Getenv(alarmsEnv), ",")
	for _, c := range x.causes() {
		if only[0] == "" || only[0] == "1" || slices.Contains(only, string(c.Name)) {
			f.noError(within(ctx, max(4*testStep, slowAlarms()[c.Name]), func(ctx context.Context) error { return x.play(ctx, c) }), string(c.Name))
		}
	}
	return f.err()
}

// play makes an alarm and ends it.
func (x *ears) play(ctx context.Context, c alarmCause) error {
	before := map[told]int{}
	for _, sink := range earSinks() {
		for _, state := range []string{sinks.Raised, sinks.Cleared} {
			before[told{sink, state, c.Key}] = x.count(sink, state, c.Key)
		}
	}
	counts := func() (text string) {
		for _, sink := range earSinks() {
			text += fmt.Sprintf("%s %d raised, %d cleared; ", sink, x.count(sink, sinks.Raised, c.Key)-before[told{sink, sinks.Raised, c.Key}], x.count(sink, sinks.Cleared, c.Key)-before[told{sink, sinks.Cleared, c.Key}])
		}
		return text
	}
	await := func(ctx context.Context, state string) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := x.takeFiles(); err != nil {
				return err
			}
			all := true
			for _, sink := range earSinks() {
				all = all && x.count(sink, state, c.Key) > before[told{sink, state, c.Key}]
			}
			if all {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting until it is %s: %w: %s", state, context.Cause(ctx), counts())
			case <-tick.C:
			}
		}
	}
	from := time.Now()
	if err := c.make(ctx); err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	if err := within(ctx, max(testStep, slowAlarms()[c.Name]/2), func(ctx context.Context) error { return await(ctx, sinks.Raised) }); err != nil {
		x.tellWhy(ctx)
		return errors.Join(err, c.end(ctx))
	}
	raised := time.Now()
	if err := c.end(ctx); err != nil {
		return fmt.Errorf("ending it: %w", err)
	}
	if err := await(ctx, sinks.Cleared); err != nil {
		x.tellWhy(ctx)
		return err
	}
	row("alarm "+string(c.Name), "raised after "+milliseconds(raised.Sub(from)), "cleared after "+milliseconds(time.Since(raised)), counts())
	if strings.Count(counts(), " 1 raised, 1 cleared") != len(earSinks()) {
		return fmt.Errorf("it was told otherwise than once each: %s", counts())
	}
	return nil
}

// tellWhy shows what the servers know of their alarms and sinks.
func (x *ears) tellWhy(ctx context.Context) {
	for _, s := range []*Server{x.srv1, x.srv2, x.standby} {
		for _, command := range []string{"alarms list", "agent status -o json"} {
			r, err := s.Run(ctx, nil, append([]string{"mxcluster"}, strings.Fields(command)...)...)
			if err == nil {
				x.say("%s# mxcluster %s", s.Name, command)
				x.show(append(r.Out, r.Err...))
			}
		}
	}
}

// causes are what alarms are caused by, in an order in which each leaves all as it was.
func (x *ears) causes() []alarmCause {
	of := func(name alarms.Name, lim int, server string) alarms.Key {
		return alarms.Key{Name: name, LIM: lim, Server: server}
	}
	on := func(s *Server, args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return x.mx(ctx, s, args...) }
	}
	all := []alarmCause{
		{Key: of(alarms.LIMOnStandby, 1, "sb1"), make: on(x.standby, "failover", "1", "--wait"), end: on(x.standby, "fallback", "1", "--wait")},
		{Key: of(alarms.StandbyOutOfOrder, 0, "sb1"), make: func(context.Context) error { return x.standby.PowerCut() }, end: func(ctx context.Context) error { return x.boot(ctx, x.standby) }},
	}
	if os.Getenv(alarmsEnv) == "" {
		return all
	}
	document, settings := filepath.Join(x.srv2.dir, "etc", "cluster.yaml"), x.settings
	var saved []byte
	var damaged string
	all = append(all,
		alarmCause{of(alarms.AgentStopped, 0, "srv2"), on(x.srv2, "agent", "stop"), func(ctx context.Context) error { return x.startAgent(ctx, x.srv2) }},
		alarmCause{of(alarms.DrainLeft, 0, "srv2"), on(x.srv1, "server", "drain", "srv2", "--for", "1s", "--reason", "fan", "--wait"), func(ctx context.Context) error {
			return errors.Join(x.mx(ctx, x.srv1, "server", "undrain", "srv2"), x.mx(ctx, x.standby, "fallback", "2", "--wait"))
		}},
		alarmCause{of(alarms.LIMDown, 1, "srv1"), func(ctx context.Context) error {
			return errors.Join(x.mx(ctx, x.srv1, "lock", "1", "--to", "regular"), x.srv1.PowerCut())
		}, func(ctx context.Context) error {
			return errors.Join(x.boot(ctx, x.srv1), x.mx(ctx, x.srv1, "unlock", "1"))
		}},
		alarmCause{of(alarms.SettingsNotRead, 0, "srv2"), func(context.Context) error {
			return x.srv2.writeSettings(strings.Replace(settings, "refresh: 1s", "refresh: 2s", 1))
		}, func(context.Context) error { return x.srv2.writeSettings(settings) }},
		alarmCause{of(alarms.DocumentUnreadable, 0, "srv2"), func(context.Context) (err error) {
			if saved, err = os.ReadFile(document); err != nil {
				return err
			}
			return os.WriteFile(document, append(bytes.Clone(saved), "fallbak: manual\n"...), 0o600)
		}, func(context.Context) error { return os.WriteFile(document, saved, 0o600) }},
		alarmCause{of(alarms.AliasInUse, 1, "srv1"), x.plugStranger, x.unplugStranger},
		alarmCause{of(alarms.DataDamaged, 1, "sb1"), func(ctx context.Context) (err error) {
			damaged, err = x.damageData(ctx)
			return err
		}, func(ctx context.Context) error {
			return errors.Join(x.mx(ctx, x.srv1, "sync", "--lim", "1"), x.mx(ctx, x.standby, "xdata", "remove", "--lim", "1", damaged))
		}},
	)
	return append(all, x.moreCauses()...)
}

const strangerPort = "stranger"

// plugStranger connects a host that has the alias of LIM 1 and says nothing.
func (x *ears) plugStranger(context.Context) error {
	_, err := x.network.addClient(strangerPort, net.HardwareAddr{2, 0, 0x5e, 0, 9, 9}, labAddress(11))
	return err
}

func (x *ears) unplugStranger(context.Context) error { return x.network.unplug(strangerPort) }

// damageData changes a byte in the standby's copy of LIM 1's data, and has it looked at. It returns
// the version.
func (x *ears) damageData(ctx context.Context) (string, error) {
	data, err := x.srv1.writeData(2)
	if err != nil {
		return "", err
	}
	if err := errors.Join(x.mx(ctx, x.srv1, "xdata", "backup", "--lim", "1", "--from", data), x.mx(ctx, x.srv1, "sync", "--lim", "1")); err != nil {
		return "", err
	}
	const change = "f=$(find . -path '*xdata_1_*' -name extensions-0) && chmod u+w $f && printf X | dd of=$f bs=1 seek=5 conv=notrunc 2>/dev/null && echo $f"
	r, err := x.standby.Run(ctx, nil, "sh", "-c", change)
	if err != nil {
		return "", err
	}
	version := regexp.MustCompile(`xdata_1_\d+`).FindString(string(r.Out))
	if version == "" {
		return "", fmt.Errorf("no data on the standby: exit code %d: %s", r.Code, r.Err)
	}
	r, err = x.standby.Run(ctx, nil, "mxcluster", "xdata", "verify", "--lim", "1")
	if err == nil && r.Code == 0 {
		err = errors.New("damage is not found")
	}
	return version, err
}
