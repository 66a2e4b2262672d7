//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestKamailio(t *testing.T) {
	for _, name := range []string{"kamailio", "kamcmd", "sipp"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") != "true" {
			t.Skip(name + " is not installed")
		}
	}
	runScenario(t, "kamailio", program(t))
}

// kamailioScenario: a preloaded LIM that is a SIP server on both sides, bound to
// one alias at once; sipp sends OPTIONS, 200 a second, through a power cut and a
// fallback by order. Who registered before is found after each, as far as the data
// version holds it.
func kamailioScenario(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	script, err := l.installKamailio()
	if err != nil {
		return err
	}
	x.srv1.SetBase(labAddress(21))
	f.noError(x.mx(ctx, x.srv1, "create", "c1", "--standby", "sb1", "--failover-after", "200ms", "--lim", "1=192.0.2.21", "--wait"), "create")
	f.noError(x.mx(ctx, x.srv1, "lim", "set", "1", "--service", "exec:"+filepath.Join(l.Dir, "exchange"), "--service", "exec:"+script), "lim set")
	f.noError(poll(ctx, "the agent has started kamailio on srv1", func() bool { return x.kamailio(ctx, script, "status") == nil }), "kamailio")
	f.noError(x.mx(ctx, x.srv1, "preload", "c1", "--wait"), "preload")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "loading")
	for _, s := range []*Server{x.srv1, x.standby} {
		// 192.0.2.11:5070, as the kernel lists it
		out, code, err := shell(ctx, s, "grep 0B0200C0:13CE /proc/net/udp")
		f.check(err == nil && code == 0, "kamailio on %s is not bound to the alias: %s %v", s.Name, out, err)
	}
	s, err := x.connectSIPp()
	if err != nil {
		return err
	}
	f.noError(s.phone(ctx), "before")
	f.noError(x.registered(ctx, s, script), "registering")
	sip, err := s.call()
	if err != nil {
		return err
	}
	f.noError(sip.await(ctx, "srv1"), "before")
	f.check(sip.only("srv1"), "somebody else answered while srv1 served: %v", sip.count)
	f.noError(x.cutPower(ctx), "power cut")
	f.noError(sip.await(ctx, "sb1"), "takeover")
	x.say("the longest time without an answer, power cut: %s", sip.gap())
	f.noError(s.ask(ctx, "ask"), "who registered before the power cut is found after it")
	sip.forget()
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.awaitPreloaded(ctx, x.srv1, "sb1"), "loading srv1")
	f.noError(sip.await(ctx, "sb1"), "before the fallback")
	f.check(sip.only("sb1"), "somebody else answered while sb1 served: %v", sip.count)
	sip.gap()
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	f.noError(sip.await(ctx, "srv1"), "fallback")
	x.say("the longest time without an answer, fallback by order: %s", sip.gap())
	f.noError(s.ask(ctx, "ask"), "who registered before the fallback is found after it")
	return f.err()
}

// kamailio calls LIM 1's SIP server on srv1 by hand.
func (x *site) kamailio(ctx context.Context, script, verb string) error {
	r, err := x.srv1.Run(ctx, []string{"MXCLUSTER_SERVER=srv1", "MXCLUSTER_LIM=1", "MXCLUSTER_ALIAS=192.0.2.11"}, script, verb)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%d: %s%s", r.Code, r.Out, r.Err)
	}
	return err
}

// registered registers a user, and backs that up; it returns when the passive side
// has loaded it.
func (x *site) registered(ctx context.Context, s *sipp, script string) error {
	var f findings
	f.check(s.ask(ctx, "ask") != nil, "somebody is registered before anybody was")
	f.noError(s.ask(ctx, "register"), "REGISTER")
	f.noError(s.ask(ctx, "ask"), "the registered user")
	f.noError(x.kamailio(ctx, script, "dump"), "writing the registrations")
	db := filepath.Join(x.srv1.Dir(), "run", "kamailio-1", "db")
	f.noError(x.mx(ctx, x.srv1, "xdata", "backup", "--lim", "1", "--from", db), "backup")
	f.noError(x.awaitTold(ctx, x.standby, "passive xdata_1_"), "reloading")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "reloading")
	return f.err()
}
