//go:build linux

package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCarriedAlong(t *testing.T) { runScenario(t, "carried-along", program(t)) }

// envScript keeps the environment in which it was started.
const envScript = `#!/bin/sh
f=${0%/*}/$MXCLUSTER_SERVER/run/${0##*/}.env
case $1 in
start) env | grep ^MXCLUSTER_ | sort >"$f" ;;
stop) rm -f "$f" ;;
status) [ -e "$f" ] || exit 3 ;;
esac
`

// addressesFollowScenario: on the standby the LIM's software has the same gateways and media
// server (spec ch. 2); what belongs to the regular server alone is not started there
// (spec ch. 6); and prompts that are not there are an alarm.
func addressesFollowScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	for _, name := range []string{"software", "manager"} {
		f.noError(os.WriteFile(filepath.Join(l.Dir, name), []byte(envScript), 0o700), name)
	}
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+filepath.Join(l.Dir, "software"),
		"--regular-only-service", "exec:"+filepath.Join(l.Dir, "manager"), "--service", "exec:"+filepath.Join(l.Dir, "exchange"),
		"--gateway", "mgw2", "--gateway", "mgw1", "--prompts", filepath.Join(l.Dir, "prompts"),
		"--media-server", "standalone", "--media-address", "192.0.2.200", "--control-address", "192.0.2.201"), "lim set")
	f.noError(x.awaitAlarm(ctx, x.srv2, "prompts-missing"), "no prompts")
	f.noError(x.cutPower(ctx), "power cut")
	f.noError(x.await(ctx, 1, "sb1"), "takeover")
	raw, err := os.ReadFile(filepath.Join(x.standby.Dir(), "run", "software.env"))
	f.noError(err, "the software on sb1")
	for _, want := range []string{"MXCLUSTER_GATEWAYS=mgw1 mgw2", "MXCLUSTER_MEDIA_SERVER=standalone", "MXCLUSTER_MEDIA_ADDRESS=192.0.2.200",
		"MXCLUSTER_CONTROL_ADDRESS=192.0.2.201", "MXCLUSTER_ROLE=active", "MXCLUSTER_ALIAS=192.0.2.11"} {
		f.check(strings.Contains(string(raw), want+"\n"), "the software on sb1 was started with\n%swithout %s", raw, want)
	}
	_, err = os.Stat(filepath.Join(x.standby.Dir(), "run", "manager.env"))
	f.check(os.IsNotExist(err), "what belongs to srv1 alone was started on sb1: %v", err)
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(awaitLIM(ctx, x.standby, 1, "is ready to fall back", fallbackReady), "boot")
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	_, err = os.Stat(filepath.Join(x.srv1.Dir(), "run", "manager.env"))
	f.noError(err, "what belongs to srv1 alone, on srv1")
	return f.err()
}

// awaitAlarm waits until a server tells of an alarm.
func (x *site) awaitAlarm(ctx context.Context, s *Server, name string) error {
	return poll(ctx, s.Name+" shows the alarm "+name, func() bool {
		out, err := s.Mxcluster(ctx, "status", "-o", "json")
		return err == nil && strings.Contains(string(out), `"`+name+`"`)
	})
}
