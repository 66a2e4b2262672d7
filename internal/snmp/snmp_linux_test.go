package snmp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/sinks"
	"mxcluster/internal/status"
)

var now = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// asPass has this test answer snmpd.
const asPass = "MXCLUSTER_TEST_PASS"

func TestMain(m *testing.M) {
	if os.Getenv(asPass) != "" {
		if err := Pass(os.Stdin, os.Stdout, func() ([]Object, error) { return sample(), nil }); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

// sample is a system with two LIMs and two alarms.
func sample() []Object {
	yes, no, on := true, false, "sb1"
	return Objects(&status.ClusterStatus{Observer: "sb1", Health: "warning", Redundant: &no, RedundantWhy: "LIM 1: srv1 is down", Revision: 7, Clusters: []status.StatusCluster{{
		Name:    "c1",
		LIMs:    []status.StatusLIM{{LIM: 1, ActiveOn: &on, Side: "standby", State: "running", Redundant: &no, RedundantWhy: "srv1 is down"}, {LIM: 12, Side: "unknown", State: "unknown"}},
		Servers: []status.StatusServer{{Name: "srv1", Role: "regular", Reachable: &no}, {Name: "sb1", Role: "standby", Reachable: &yes, Ready: &yes, ReadyWhy: "in\ntwo lines"}},
	}}}, []status.Alarm{
		{Handle: 3, Name: "lim-on-standby", Severity: "warning", LIM: 1, Server: "sb1", RaisedAt: now, Text: "LIM 1 runs on sb1"},
		{Handle: 12, Name: "clock-skew", Severity: "warning", Server: "srv2", RaisedAt: now, Noticed: true, Text: "the clock is off"},
	})
}

// tool finds a program of net-snmp or libsmi.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if _, err := os.Stat("/usr/sbin/" + name); err == nil {
		return "/usr/sbin/" + name
	}
	if os.Getenv("CI") != "true" {
		t.Skipf("%s is not installed: apt-get install snmp snmpd snmptrapd smitools", name)
	}
	t.Fatalf("%s is not installed", name)
	return ""
}

// daemon runs a program of net-snmp until the test ends, and returns what it says.
func daemon(t *testing.T, dir string, args ...string) <-chan string {
	t.Helper()
	c := exec.Command(tool(t, args[0]), args[1:]...)
	c.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir+"/persistent", "SNMPCONFPATH="+dir, "MIBS=")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		for range lines {
		}
		_ = c.Wait()
	})
	return lines
}

// port is a UDP port of loopback that nobody has.
func port(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// next waits for a line that has all these words.
func next(t *testing.T, lines <-chan string, words ...string) {
	t.Helper()
	var seen []string
	for deadline := time.After(30 * time.Second); ; {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("it ended; no %q in:\n%s", words, strings.Join(seen, "\n"))
			}
			seen = append(seen, line)
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return
			}
		case <-deadline:
			t.Fatalf("no %q in:\n%s", words, strings.Join(seen, "\n"))
		}
	}
}

// Debian's snmptrapd takes traps and informs of both versions.
func TestNotificationsArrive(t *testing.T) {
	dir := t.TempDir()
	at := port(t)
	conf := fmt.Sprintf("authCommunity log public\ndisableAuthorization no\ncreateUser -e 0x%x trapper SHA-256 authentic-1 AES private-1\nauthUser log trapper priv\n"+
		"createUser informer SHA-256 authentic-2 AES private-2\nauthUser log informer priv\n", EngineID("sb1"))
	if err := os.WriteFile(dir+"/snmptrapd.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := daemon(t, dir, "snmptrapd", "-f", "-Lo", "-n", "-On", "-C", "-c", dir+"/snmptrapd.conf", fmt.Sprintf("udp:127.0.0.1:%d", at))
	base := Config{Target: fmt.Sprintf("127.0.0.1:%d", at), EngineID: EngineID("sb1"), Started: now.Add(-time.Minute)}
	message := func(text string, raised bool) sinks.Message {
		return sinks.MessageOf(alarms.Change{Raised: raised, Alarm: alarms.Alarm{Handle: 12, Name: alarms.LIMDown, Severity: alarms.Critical, LIM: 1, Server: "srv1", RaisedAt: now, Text: text}}, now, "TEST", "sb1")
	}
	tell := func(c Config, m sinks.Message) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := (&Sink{Config: c, Now: func() time.Time { return now }}).Tell(ctx, m); err != nil {
			t.Errorf("version %s, inform %t: %v", c.Version, c.Inform, err)
		}
	}
	v2 := base
	v2.Version, v2.Community, v2.Inform = "2c", "public", true
	ready := false // it listens when it has acknowledged the first inform
	for deadline := time.Now().Add(30 * time.Second); !ready && time.Now().Before(deadline); {
		ready = (&Sink{Config: v2, Now: func() time.Time { return now }}).Tell(t.Context(), message("first", true)) == nil
	}
	next(t, lines, Root+".0.1", Root+".4.1.6.12 = STRING: \"first\"", Root+".4.1.3.12 = INTEGER: 2", Root+".4.1.4.12 = INTEGER: 1", Root+".5.2.0 = STRING: \"sb1\"")
	v2.Inform = false
	tell(v2, message("second", false))
	next(t, lines, Root+".0.2", `"second"`)
	v3 := base
	v3.Version, v3.User, v3.AuthProtocol, v3.AuthPass, v3.PrivProtocol, v3.PrivPass = "3", "trapper", "SHA-256", "authentic-1", "AES", "private-1"
	tell(v3, message("third", true))
	next(t, lines, Root+".0.1", `"third"`)
	v3.User, v3.AuthPass, v3.PrivPass, v3.Inform = "informer", "authentic-2", "private-2", true
	tell(v3, message("fourth", true))
	next(t, lines, Root+".0.1", `"fourth"`)
	v3.AuthPass = "not-authentic"
	if err := (&Sink{Config: v3, Now: func() time.Time { return now }}).Tell(t.Context(), message("fifth", true)); err == nil {
		t.Error("an inform with a wrong passphrase was taken")
	}
}

// Debian's snmpd shows the objects to who asks it.
func TestObjectsAreThere(t *testing.T) {
	dir := t.TempDir()
	at := port(t)
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s\n", asPass, os.Args[0])
	if err := os.WriteFile(dir+"/pass", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("agentaddress udp:127.0.0.1:%d\nrocommunity public 127.0.0.1\npass_persist %s %s/pass\n", at, Root, dir)
	if err := os.WriteFile(dir+"/snmpd.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, dir, "snmpd", "-f", "-Lo", "-C", "-c", dir+"/snmpd.conf", "-p", dir+"/pid")
	ask := func(program string, args ...string) string {
		t.Helper()
		c := exec.Command(tool(t, program), append([]string{"-v2c", "-c", "public", "-On", "-t", "2", "-r", "14", fmt.Sprintf("127.0.0.1:%d", at)}, args...)...)
		c.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir+"/client", "MIBS=")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		return string(out)
	}
	walked := ask("snmpwalk", Root)
	for _, want := range []string{".1.1.0 = STRING: \"sb1\"", ".1.2.0 = INTEGER: 2", ".1.3.0 = INTEGER: 2", ".1.5.0 = Gauge32: 7", ".1.6.0 = Gauge32: 1",
		".2.1.3.1 = STRING: \"sb1\"", ".2.1.4.12 = INTEGER: 4", ".3.1.6.2 = STRING: \"in two lines\"", ".4.1.6.3 = STRING: \"LIM 1 runs on sb1\"", ".4.1.8.12 = INTEGER: 2"} {
		if !strings.Contains(walked, Root+want) {
			t.Errorf("no %s in:\n%s", want, walked)
		}
	}
	if n := strings.Count("\n"+walked, "\n"+Root); n != len(sample()) {
		t.Errorf("%d objects were found, want %d:\n%s", n, len(sample()), walked)
	}
	if got := ask("snmpget", Root+".2.1.2.12"); !strings.Contains(got, `"c1"`) {
		t.Errorf("asked for one: %s", got)
	}
}

// The module keeps to what SMIv2 asks for, and names every object that is there.
func TestModule(t *testing.T) {
	const file = "../../packaging/snmp/MXCLUSTER-MIB.txt"
	c := exec.Command(tool(t, "smilint"), "-s", "-l", "6", "-i", "namelength-32", file)
	c.Env = append(os.Environ(), "SMIPATH="+filepath.Join("testdata", "mibs")) // what it imports, which Debian has in non-free alone
	out, err := c.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("smilint: %v\n%s", err, out)
	}
}
