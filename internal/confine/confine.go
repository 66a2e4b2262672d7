// Package confine runs a LIM's software where nothing of it gets out: in a network of its
// own that leads nowhere, with processes, shared memory and files of its own, and ends it
// whole. It consists of three processes, one within the other:
//
//   - the runner, which agents start, makes the next one in new namespaces;
//   - the first process of those builds what the software sees, and reaps what it leaves;
//   - the worker starts, checks and stops the software, as an agent would.
//
// When the runner or the first process ends, the kernel ends all others.
package confine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/services"
)

// Command is the argument by which this program is one of the three processes. Without a
// stage it is the runner.
const (
	Command     = "rehearsal-process"
	StageFirst  = "first"
	StageWorker = "worker"
)

// Work starts a LIM's software in this process's surroundings, looks how it is for a
// while, and stops it.
func Work(ctx context.Context, spec rehearsal.Spec) failover.Rehearsal {
	r := failover.Rehearsal{Version: spec.Version}
	end := func(result failover.RehearsalResult, format string, args ...any) failover.Rehearsal {
		r.At, r.Result, r.Text = time.Now().UTC(), result, fmt.Sprintf(format, args...)
		return r
	}
	set, err := services.ForLIM(&spec.LIM, clusterconf.SideStandby, services.Options{
		StartTimeout: spec.StartLimit, StopTimeout: spec.StopLimit, CheckTimeout: spec.CheckLimit,
		Instance: "rehearsal", Untrusted: spec.Untrusted, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return end(failover.RehearsalFailed, "%v", err)
	}
	if why := set.Unconfinable(); why != "" {
		return end(failover.RehearsalSkipped, "%s", why)
	}
	env := services.Env{LIM: spec.LIM.Number, Alias: spec.Alias.Addr(), Server: spec.Server, Role: "passive", XData: spec.XData,
		Gateways: spec.LIM.Gateways, Media: spec.LIM.MediaServer, Rehearsal: true}
	if why := set.Refusal(ctx, env, spec.LIM.Rehearsable); why != "" {
		return end(failover.RehearsalSkipped, "%s", why)
	}
	began := time.Now()
	if err := set.Start(ctx, env); err != nil {
		return end(failover.RehearsalFailed, "%v", err)
	}
	r.StartMs = time.Since(began).Milliseconds()
	if err := healthy(ctx, set, env, spec); err != nil {
		return end(failover.RehearsalFailed, "started in %s, then %v", time.Since(began).Round(time.Millisecond), err)
	}
	text := fmt.Sprintf("started in %d ms, healthy for %s", r.StartMs, spec.Healthy)
	if err := set.Stop(ctx, env); err != nil {
		return end(failover.RehearsalOK, "%s; ended by force: %v", text, err)
	}
	return end(failover.RehearsalOK, "%s", text)
}

// healthy looks until software has run for long enough.
func healthy(ctx context.Context, set services.Set, env services.Env, spec rehearsal.Spec) error {
	enough := time.NewTimer(spec.Healthy)
	defer enough.Stop()
	tick := time.NewTicker(max(min(spec.Every, spec.Healthy/2), time.Millisecond))
	defer tick.Stop()
	for last := false; ; {
		state, service, err := set.Check(ctx, env)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case state != services.Running && err != nil:
			return fmt.Errorf("%s is %s: %w", service, state, err)
		case state != services.Running:
			return fmt.Errorf("%s is %s", service, state)
		case last:
			return nil
		}
		select {
		case <-tick.C:
		case <-enough.C:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Worker is the process that runs the software: it reads what to do, and writes what came of it.
func Worker(ctx context.Context, in io.Reader, out io.Writer) error {
	spec, err := readSpec(in)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(Work(ctx, spec))
}

func readSpec(in io.Reader) (spec rehearsal.Spec, err error) {
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return spec, fmt.Errorf("reading what to rehearse: %w", err)
	}
	return spec, nil
}

// errNoWord is why nothing is known of a rehearsal.
var errNoWord = errors.New("it ended without a word")
