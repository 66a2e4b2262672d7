//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/status"
)

func TestChecks(t *testing.T)    { runScenario(t, "checks", program(t)) }
func TestVanishing(t *testing.T) { runScenario(t, "vanishing", program(t)) }

// check is the text of a check of the lab: it fails on a server for which there is a file.
const check = `#!/bin/sh
[ -e "${0%/*}/bad.$MXCLUSTER_SERVER" ] || exit 0
echo "trunk 3 of LIM $MXCLUSTER_LIM is down"
exit 1
`

// checksScenario: a check that fails moves a LIM as a planned move does, takes back what the
// standby promises, and moves nothing where it fails on both sides.
func checksScenario(ctx context.Context, l *Lab) error {
	x := newEmptySite(l)
	x.settings += "services:\n  check_interval: 200ms\n"
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) }} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	dir := filepath.Join(l.Dir, "checks")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "trunk-up")
	if err := os.WriteFile(program, []byte(check), 0o755); err != nil {
		return err
	}
	bad := func(server string, on bool) error {
		name := filepath.Join(dir, "bad."+server)
		if on {
			return os.WriteFile(name, nil, 0o600)
		}
		return os.Remove(name)
	}
	var f findings
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--check", "exec:"+program), "setting the check")
	f.noError(x.awaitCovered(ctx, true, ""), "with a check that passes")

	from := time.Now()
	f.noError(bad("srv1", true), "making the check fail")
	f.noError(x.await(ctx, 1, "sb1"), "after the check has failed")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", from), "after the check has failed")
	moved := x.caller.Between(from, time.Now())
	f.noError(x.awaitCovered(ctx, false, "srv1 is unfit: check "+program+": trunk 3 of LIM 1 is down"), "while srv1 is unfit")
	r, err := x.standby.Run(ctx, nil, "mxcluster", "fallback", "1")
	f.check(err == nil && r.Code == 3 && strings.Contains(string(r.Err), "srv1 is unfit"), "fallback to an unfit server: %+v, %v", r, err)
	f.noError(bad("srv1", false), "mending it")
	f.noError(x.awaitCovered(ctx, true, ""), "when srv1 is fit again")

	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "falling back")
	f.noError(bad("sb1", true), "making the check fail")
	f.noError(x.awaitCovered(ctx, false, "sb1 is unfit"), "while sb1 is unfit")
	f.noError(bad("srv1", true), "making the check fail")
	f.noError(within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, 1, "stays on srv1", func(l *status.StatusLIM) bool {
			return runsOn("srv1")(l) && strings.Contains(l.Reason, "runs here all the same: sb1 is unfit")
		})
	}), "while both are unfit")
	f.noError(x.srv1.PowerCut(), "power cut")
	cut := time.Now()
	f.check(within(ctx, 5*testFailoverAfter, func(ctx context.Context) error { return x.caller.WaitAnswer(ctx, "", cut) }) != nil,
		"LIM 1 is served though its server is off and the standby unfit")
	f.noError(bad("sb1", false), "mending it")
	f.noError(x.await(ctx, 1, "sb1"), "when sb1 is fit again")
	row("a check fails where the LIM runs", "silence "+milliseconds(moved.Silence), "promises kept")
	return f.err()
}

// vanishingScenario: what an agent needs goes while it runs, and is told before it is needed.
func vanishingScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	software := filepath.Join(l.Dir, "software")
	if err := os.Mkdir(software, 0o755); err != nil {
		return err
	}
	program := filepath.Join(software, "lim1")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec "+filepath.Join(l.Dir, "exchange")+` "$@"`+"\n"), 0o755); err != nil {
		return err
	}
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+program), "setting the software")
	f.noError(x.awaitCovered(ctx, true, ""), "with the program")
	on := func(argv ...string) {
		r, err := x.standby.Run(ctx, nil, argv...)
		f.check(err == nil && r.Code == 0, "%q: %+v, %v", argv, r, err)
	}
	on("mount", "-t", "tmpfs", "none", software)
	f.noError(x.awaitCovered(ctx, false, "its software cannot start on sb1: service exec:"+program+": program "+program+" does not exist"), "without the program")
	on("umount", software)
	f.noError(x.awaitCovered(ctx, true, ""), "with the program again")

	told := func(text string) error {
		return poll(ctx, fmt.Sprintf("status says %q", text), func() bool {
			r, err := x.standby.Run(ctx, nil, "mxcluster", "status", "-o", "wide")
			return err == nil && r.Code == 0 && strings.Contains(string(r.Out), text) && (text != "" || !strings.Contains(string(r.Out), "settings"))
		})
	}
	f.noError(x.srv1.writeSettings(x.settings+"arp:\n  refresh: 50s\n"), "editing the settings")
	f.noError(told("the agent of srv1 does not work by the settings on its disk: "), "settings that were edited")
	r, err := x.srv1.Run(ctx, nil, "mxcluster", "agent", "status")
	f.check(err == nil && strings.Contains(string(r.Err), "mxcluster.yaml was changed since it started; `systemctl restart mxcluster-agent` there disturbs no call"), "agent status: %+v, %v", r, err)
	f.noError(x.srv1.writeSettings(x.settings+"arp:\n  refresh: soon\n"), "breaking the settings")
	f.noError(told("they cannot be used, and it could not start again"), "settings that are broken")
	f.noError(x.srv1.writeSettings(x.settings), "mending the settings")
	f.noError(told(""), "settings as they were")
	return f.err()
}
