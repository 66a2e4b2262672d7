//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"mxcluster/internal/status"
)

func TestRehearsalOfKamailio(t *testing.T) {
	for _, name := range []string{"kamailio", "kamcmd", "sipp"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") != "true" {
			t.Skip(name + " is not installed")
		}
	}
	runScenario(t, "rehearsal-kamailio", program(t))
}

// benchRehearsal is the same with the largest cluster, and more power cuts.
func benchRehearsal(ctx context.Context, l *Lab) error {
	return rehearsalsOfKamailio(benchNumber("LIMS", 10), benchNumber("RUNS", 3))(ctx, l)
}

// rehearsalsOfKamailio is a cluster whose LIMs are SIP servers. Each is rehearsed in turn, and
// nothing of it is heard; then the server of LIM 1 loses its power, without a rehearsal and
// in the middle of one of LIM 1 and of LIM 2, while LIM 1 is asked 200 times a second.
func rehearsalsOfKamailio(lims, runs int) Scenario {
	return func(ctx context.Context, l *Lab) error {
		x, err := newTelephones(ctx, l, lims)
		if err != nil {
			return err
		}
		var f findings
		f.noError(x.rehearseAll(ctx, lims), "rehearsing")
		s, err := x.connectSIPp()
		if err != nil {
			return err
		}
		sip, err := s.call()
		if err != nil {
			return err
		}
		f.noError(sip.await(ctx, "srv1"), "before")
		for range runs {
			for lim, what := range []string{"power cut, no rehearsal", "power cut while LIM 1 is rehearsed", "power cut while LIM 2 is rehearsed"} {
				gap, err := x.cutWhileRehearsed(ctx, sip, lim)
				if !f.noError(err, what) {
					return f.err()
				}
				row(what, "silence of the SIP server of LIM 1: "+milliseconds(gap))
			}
		}
		return f.err()
	}
}

// telephoneSilence is the silence limit of that cluster: many processes on a machine that
// may be busy are not to be taken for silent.
const telephoneSilence = 3 * time.Second

// newTelephones makes a cluster of so many LIMs that are kamailio, and their standby.
func newTelephones(ctx context.Context, l *Lab, lims int) (*site, error) {
	x := newEmptySite(l)
	var all []*Server
	for i := range lims + 1 {
		name, host := fmt.Sprintf("srv%d", i+1), byte(11+i)
		if i == lims {
			name, host = "sb1", 31
		}
		s, err := l.AddServer(name, labAddress(host))
		if err == nil {
			err = s.Boot(ctx)
		}
		if err == nil {
			err = s.writeSettings(x.settings)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	x.srv1, x.srv2, x.standby = all[0], all[1], all[lims]
	script, err := l.installKamailio()
	if err != nil {
		return nil, err
	}
	create := []string{"create", "c1", "--standby", "sb1", "--failover-after", telephoneSilence.String()}
	for i, s := range all {
		args := []string{"server", "add", s.Name, "--base", s.base.String(), "--interface", serverInterface}
		if i == 0 {
			args = append([]string{"init", "--server", s.Name}, args[3:]...)
		}
		if s != x.standby {
			args = append(args, "--lim", fmt.Sprint(i+1))
			create = append(create, "--lim", fmt.Sprintf("%d=%s", i+1, labAddress(byte(41+i)).Addr()))
		}
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return nil, err
		}
	}
	if err := x.mx(ctx, x.srv1, "server", "to-standby", "sb1"); err != nil {
		return nil, err
	}
	for lim := 1; lim <= lims; lim++ {
		if err := x.mx(ctx, x.srv1, "lim", "set", fmt.Sprint(lim), "--service", "exec:"+script, "--rehearsable"); err != nil {
			return nil, err
		}
	}
	for i, s := range all {
		if i > 0 {
			if err := x.mx(ctx, s, "join", x.srv1.base.Addr().String(), "--key-file", filepath.Join(x.srv1.dir, "etc", "gossip.key")); err != nil {
				return nil, err
			}
		}
		if err := x.startAgent(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := x.mx(ctx, x.srv1, create...); err != nil {
		return nil, err
	}
	for i, s := range all[:lims] {
		s.SetBase(labAddress(byte(41 + i)))
		if err := x.await(ctx, i+1, s.Name); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// rehearseAll has each LIM rehearsed in turn, and prints what came of it and what was heard.
func (x *site) rehearseAll(ctx context.Context, lims int) error {
	macs, aliases := []net.HardwareAddr{clientMAC(7)}, [][]byte{}
	for i := range lims {
		macs, aliases = append(macs, serverMAC(i)), append(aliases, labAddress(byte(11+i)).Addr().AsSlice())
	}
	tap, err := x.standby.tap(ctx, macs, kamailioPort, aliases...)
	if err != nil {
		return err
	}
	var report struct {
		Results []struct {
			LIM     int
			Result  string
			StartMs *int64
			Text    string
		}
	}
	x.say("srv2# mxcluster rehearse --wait")
	r, err := x.srv2.Run(ctx, nil, "mxcluster", "rehearse", "--wait", "-o", "json")
	if err == nil {
		err = json.Unmarshal(r.Out, &report)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, r.Err)
	}
	var f findings
	f.check(len(report.Results) == lims, "%d LIMs were rehearsed, not %d", len(report.Results), lims)
	for _, e := range report.Results {
		start := "never"
		if e.StartMs != nil {
			start = strconv.FormatInt(*e.StartMs, 10) + " ms"
		}
		f.check(e.Result == status.RehearsalOK, "the rehearsal of LIM %d: %s, %s", e.LIM, e.Result, e.Text)
		row(fmt.Sprintf("LIM %d, kamailio, rehearsed", e.LIM), e.Result, "started in "+start)
	}
	f.check(tap.count() == 0, "%d frames of what was rehearsed left the standby", tap.count())
	f.noError(x.stageEmpty(ctx), "after the rehearsals")
	row("frames of what was rehearsed on the standby's wire", tap.count(), "0")
	return f.err()
}

// cutWhileRehearsed cuts the power of LIM 1's server in the middle of a rehearsal of a LIM, 0:
// of none, returns for how long its SIP server did not answer, and brings all back.
func (x *site) cutWhileRehearsed(ctx context.Context, sip *sippCaller, lim int) (time.Duration, error) {
	if lim != 0 {
		if err := x.mx(ctx, x.standby, "rehearse", "--lim", fmt.Sprint(lim)); err != nil {
			return 0, err
		}
		if err := poll(ctx, "it is on stage", func() bool { return x.stageEmpty(ctx) != nil }); err != nil {
			return 0, err
		}
	}
	if err := sip.look(); err != nil {
		return 0, err
	}
	sip.gap() // from now on
	x.say("srv1 loses its power")
	if err := x.srv1.PowerCut(); err != nil {
		return 0, err
	}
	if err := sip.await(ctx, "sb1"); err != nil {
		return 0, err
	}
	gap := sip.gap()
	if err := x.await(ctx, 1, "sb1"); err != nil {
		return 0, err
	}
	if lim != 0 {
		if err := x.rehearsed(ctx, lim, status.RehearsalAborted); err != nil {
			return 0, err
		}
	}
	for _, step := range []func(ctx context.Context) error{
		x.srv1.Boot,
		func(ctx context.Context) error { return x.startAgent(ctx, x.srv1) },
		func(ctx context.Context) error {
			return awaitLIM(ctx, x.standby, 1, "is ready to fall back", fallbackReady)
		},
		func(ctx context.Context) error { return x.mx(ctx, x.standby, "fallback", "1", "--wait") },
		func(ctx context.Context) error { return sip.await(ctx, "srv1") },
		x.stageEmpty,
	} {
		if err := within(ctx, testStep, step); err != nil {
			return 0, err
		}
	}
	return gap, nil
}
