package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// Values of the role that a LIM's software is told.
const (
	roleActive  = "active"
	rolePassive = "passive"
)

// software is the software of one LIM on this server: its services, whether they are up, and their
// health. It is owned by the main loop.
type software struct {
	*core
	lim int

	up      bool     // it may be up here, whatever the LIM's state
	specs   []string // services that may be up; nil: none, or not known
	lacks   string   // how it differs from the document, and why; "": it does not
	change  changes
	role    string         // the role it was last told; "": none by this run
	version *failover.Data // data version that the passive side has loaded; nil: none

	passedOver string // which data it was started on, and why not on newer; "": there was none newer

	health   context.CancelFunc // ends the health checks
	restarts int                // in place, since it last ran for healthyFor
	unseen   string             // why its health cannot be seen; "": it can

	stopAgain  time.Time // when to stop it again, as it did not stop; zero: it did
	stopsAgain bool      // the operation in progress does that
}

// changes is the state of adapting running software to a new document.
type changes struct {
	hash  string    // of the last document that it was compared with
	again time.Time // when to retry what failed; zero: nothing did
	tries int
}

// build returns the LIM's services and their environment on this side.
func (s *software) build(alias netip.Prefix) (services.Set, services.Env, error) {
	env := s.env(alias)
	entry := s.doc.LIM(s.lim)
	if entry == nil {
		return nil, env, nil
	}
	set, err := s.deps.Software(entry, s.side())
	return set, env, err
}

// env returns the environment of the LIM's software where it is active.
func (s *software) env(alias netip.Prefix) services.Env {
	env := services.Env{LIM: s.lim, Server: s.cfg.Server, Role: roleActive, Alias: alias.Addr(),
		Tell: func(text string) { s.post(func() { s.journal.software(s.lim, text) }) }}
	if !alias.IsValid() {
		env.Alias = s.doc.Server(s.cfg.Server).Base.Addr()
	}
	if entry := s.doc.LIM(s.lim); entry != nil {
		env.Gateways, env.Media = entry.Gateways, entry.MediaServer
	}
	return env
}

// gone returns the services that may be up here and are not part of the LIM's software now.
func (s *software) gone(now services.Set) services.Set {
	entry := &clusterconf.LIM{Number: s.lim}
	for _, spec := range s.specs {
		if !slices.Contains(now.Specs(), spec) {
			entry.Services = append(entry.Services, clusterconf.Service{Run: spec})
		}
	}
	if len(entry.Services) == 0 {
		return nil
	}
	set, err := s.deps.Software(entry, s.side())
	if err != nil {
		s.log.Error("finding software that was removed", "lim", s.lim, "services", s.specs, "err", err)
	}
	return set
}

// mayBeUp records which services may be up from now on: those of the sets, and those not stopped
// yet.
func (s *software) mayBeUp(sets ...services.Set) {
	s.specs = slices.Concat(sets...).Specs()
}

// outdated reports whether running software differs from the document, or a retry is due.
func (s *software) outdated(software services.Set, now time.Time) bool {
	if s.specs == nil || s.change.hash == s.hash && (s.change.again.IsZero() || now.Before(s.change.again)) {
		return false
	}
	s.change.hash = s.hash
	want := software.Specs()
	same := len(want) == len(s.specs) && !slices.ContainsFunc(want, func(spec string) bool { return !slices.Contains(s.specs, spec) })
	return !same || !s.change.again.IsZero()
}

// setAnew reports whether the document has other software for a LIM than what is loaded.
func (s *software) setAnew() bool {
	if s.specs == nil || s.change.hash == s.hash {
		return false
	}
	software, _, err := s.build(s.aliasOf(s.lim))
	return err == nil && s.outdated(software, time.Now())
}

func (s *software) recordChange(added, removed []string) {
	var parts []string
	if len(removed) > 0 {
		parts = append(parts, "stops "+strings.Join(removed, ", "))
	}
	if len(added) > 0 {
		parts = append(parts, "starts "+strings.Join(added, ", "))
	}
	if len(parts) > 0 {
		s.journal.software(s.lim, fmt.Sprintf("the software of LIM %d was changed: %s %s", s.lim, s.cfg.Server, strings.Join(parts, " and ")))
	}
}

// bringUp starts software, or reloads its role and data if it runs. Software that cannot reload is
// restarted: this side is passive.
func (s *software) bringUp(ctx context.Context, software services.Set, env services.Env) error {
	state, _, _ := software.Check(ctx, env)
	if state == services.Running && len(software) > 0 {
		err := software.Reload(ctx, env)
		if err == nil {
			return nil
		}
		s.log.Warn("the software does not reload; starting it anew", "lim", env.LIM, "err", err)
		if err := software.Stop(ctx, env); err != nil {
			s.log.Error("stopping the software", "lim", env.LIM, "err", err)
		}
	}
	return software.Start(ctx, env)
}

// serve starts software that becomes active. Running passive software is told its role; calls
// arrive already, so the result of an error shows in the health checks.
func (s *software) serve(ctx context.Context, software services.Set, env services.Env, passive bool) error {
	if !passive {
		return software.Start(ctx, env)
	}
	if state, _, _ := software.Check(ctx, env); state != services.Running {
		return software.Start(ctx, env)
	}
	if err := software.Reload(ctx, env); err != nil {
		s.log.Error("the software does not take the active role", "lim", env.LIM, "err", err)
	}
	return nil
}

// calledOff stops software whose start succeeded after it was cancelled.
func (s *software) calledOff(ctx context.Context, software services.Set, env services.Env) error {
	if ctx.Err() == nil {
		return nil
	}
	if err := software.Stop(context.WithoutCancel(ctx), env); err != nil {
		return fmt.Errorf("the start was called off, %w", &services.NotStoppedError{Err: err})
	}
	return errors.New("the start was called off")
}

// stopGone stops, before a start, services of an earlier document. Failures are reported.
func (s *software) stopGone(ctx context.Context, gone services.Set, env services.Env) {
	if left, errs := gone.StopEach(ctx, env); len(left) > 0 {
		s.post(func() {
			s.journal.software(env.LIM, fmt.Sprintf("software that LIM %d does not have any more does not stop: %v", env.LIM, errs[0]))
		})
	}
}

// didNotComeUp records what is left of software that failed to start: nothing, as it was stopped,
// unless that failed, too.
func (s *software) didNotComeUp(err error) {
	var notStopped *services.NotStoppedError
	if errors.As(err, &notStopped) {
		s.stopped(notStopped.Err)
		return
	}
	s.stopped(nil)
}

// stopped records the result of stopping software. Software that did not stop is stopped again
// later, while the LIM is not to run here: it may be up without its alias while the LIM runs
// elsewhere.
func (s *software) stopped(err error) {
	first := s.stopAgain.IsZero()
	s.up, s.stopAgain = err != nil, time.Time{}
	if err == nil {
		s.specs, s.lacks, s.change = nil, "", changes{}
	}
	if err != nil {
		s.stopAgain = time.Now().Add(retryStop)
		if first {
			s.journal.software(s.lim, fmt.Sprintf("the software of LIM %d did not stop, and is stopped again until it does: %v", s.lim, err))
		}
		s.log.Error("stopping the software", "lim", s.lim, "err", err, "again", s.stopAgain)
	}
}

// startsOn reports that software is started on older data than the newest.
func (s *software) startsOn(d DataHere) {
	text := d.starts()
	if text != "" && text != s.passedOver {
		s.journal.software(s.lim, fmt.Sprintf("LIM %d starts on %s %s", s.lim, s.cfg.Server, text))
	}
	s.passedOver = text
}

// noteStart records on which data version a LIM is started; the next backup here follows it. A
// takeover does not wait for this.
func (s *software) noteStart(d *failover.Data) {
	if d == nil || s.deps.Started == nil {
		return
	}
	s.wg.Go(func() {
		if err := s.deps.Started(s.lim, d.Version); err != nil {
			s.log.Error("remembering on which data version a LIM was started", "lim", s.lim, "version", d.Version, "err", err)
		}
	})
}

// healthyFor is how long software must run before its restarts are forgotten.
const healthyFor = 10 * time.Minute

func (s *software) endHealth() {
	if s.health != nil {
		s.health()
		s.health, s.unseen = nil, ""
	}
}

// watch checks the software's health until it fails; then it calls broken.
func (s *software) watch(ctx context.Context, software services.Set, env services.Env, broken func(ctx context.Context, service string, state services.State, err error)) {
	tick := time.NewTicker(s.cfg.CheckInterval)
	defer tick.Stop()
	for unseen := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		state, service, err := software.Check(ctx, env)
		switch {
		case ctx.Err() != nil:
			return
		case state == services.Unknown && !unseen:
			unseen = true
			s.post(func() { s.noteUnseen(ctx, err.Error()) })
		case state == services.Running && unseen:
			unseen = false
			s.post(func() { s.noteUnseen(ctx, "") })
		case state != services.Running && state != services.Unknown:
			s.post(func() { broken(ctx, service, state, err) })
			return
		}
	}
}

// noteUnseen records that a LIM's health cannot be seen. The LIM goes on, since it may well run.
// "": it can be seen again.
func (s *software) noteUnseen(ctx context.Context, why string) {
	if ctx.Err() != nil || (why == "") == (s.unseen == "") {
		return
	}
	s.unseen = why
	if why != "" {
		s.journal.software(s.lim, fmt.Sprintf("the software of LIM %d cannot be seen; it counts as it was: %s", s.lim, why))
	} else {
		s.journal.software(s.lim, fmt.Sprintf("the software of LIM %d is seen again", s.lim))
	}
}
