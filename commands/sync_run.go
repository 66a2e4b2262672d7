package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// syncer carries syncs out and collects what became of them.
type syncer struct {
	app     *app
	server  *server
	options syncOptions
	results []xdata.Result
	errs    []error
}

// peerPatience is how long another server may take to say its first word: a
// login may be slow, but nobody waits minutes for one that is down.
const peerPatience = 15 * time.Second

// doAll does one job after the other, whatever becomes of each.
func (y *syncer) doAll(ctx context.Context, jobs []syncJob) {
	for _, j := range jobs {
		if j.side == "" {
			y.delegate(ctx, j)
		} else {
			y.do(ctx, j)
		}
	}
}

func (y *syncer) do(ctx context.Context, j syncJob) {
	for _, lim := range j.lims {
		r, err := y.local(ctx, j, lim)
		y.results = append(y.results, r)
		if err != nil {
			y.errs = append(y.errs, err)
		}
	}
}

func (y *syncer) rsh(patience time.Duration) xdata.Rsh {
	return xdata.Rsh{Command: y.server.settings.SyncRSH, RemoteCommand: y.server.settings.SyncRemoteCommand, Patience: patience}
}

// serve starts the other end of a sync.
func (y *syncer) serve(ctx context.Context, there *clusterconf.Server) (xdata.Conn, error) {
	return xdata.Dial(ctx, y.rsh(peerPatience), there.Name, there.Base.Addr(), "xdata", "serve")
}

// local synchronises one LIM between this server and its peer, and remembers
// what became of it.
func (y *syncer) local(ctx context.Context, j syncJob, lim int) (xdata.Result, error) {
	var r xdata.Result
	err := whileBusy(ctx, y.options.wait, func() (err error) {
		r, err = y.between(ctx, j, lim)
		return err
	})
	if y.options.dryRun {
		return r, err
	}
	if bad := y.server.syncs().Note(lim, y.app.env.Now(), err); bad != nil {
		y.app.out.Detail("%v", bad)
	}
	return r, err
}

func (y *syncer) between(ctx context.Context, j syncJob, lim int) (xdata.Result, error) {
	peer, err := y.serve(ctx, j.there)
	if err != nil {
		return failedSync(lim, err), err
	}
	store := y.server.versions(y.app.env.Now)
	store.Reason = y.options.reason
	var lastGood time.Time
	if before, err := y.server.syncs().Read(lim); err == nil && before.LastGood != nil {
		lastGood = *before.LastGood
	}
	if j.side == xdata.SideStandby {
		store.Spare = xdata.StandbySpare
	}
	bar := y.app.progress(fmt.Sprintf("LIM %d", lim), 0)
	defer bar.Close()
	r, err := xdata.Sync(ctx, store, peer, xdata.Request{
		LIM: lim, Side: j.side, Direction: xdata.Direction(y.options.direction), DryRun: y.options.dryRun, Rate: y.options.rate,
		LastGood: lastGood,
		Progress: func(n, total int64) {
			if total > 0 {
				bar.Expect(total)
			}
			bar.Add(n)
		},
	})
	// What the peer's end has to say was said by Sync, which hears more of it.
	_ = peer.Close()
	return r, err
}

// syncs is what this server remembers of its syncs.
func (s *server) syncs() xdata.Records {
	return xdata.Records{Dir: s.dirs.Syncs()}
}

// delegate has the standby of a cluster do it, and takes over its report.
func (y *syncer) delegate(ctx context.Context, j syncJob) {
	results, err := y.remote(ctx, j)
	if err != nil {
		y.errs = append(y.errs, err)
		for _, lim := range j.lims {
			y.results = append(y.results, failedSync(lim, err))
		}
		return
	}
	for _, r := range results {
		y.results = append(y.results, r)
		if r.Error != nil {
			y.errs = append(y.errs, fault.New(codeOf(r), "", "on %s: %s", j.there.Name, *r.Error))
		}
	}
}

// remote runs the sync there. Its exit code says no more than its report.
func (y *syncer) remote(ctx context.Context, j syncJob) ([]xdata.Result, error) {
	if err := y.reach(ctx, j.there); err != nil {
		return nil, err
	}
	args := []string{"sync", j.cluster, "--direction", y.options.direction, "--output", "json", "--no-input"}
	for _, lim := range j.lims {
		args = append(args, "--lim", strconv.Itoa(lim))
	}
	if y.options.dryRun {
		args = append(args, "--dry-run")
	}
	if y.options.wait > 0 {
		args = append(args, "--wait="+y.options.wait.String())
	}
	if y.options.bwlimit != "" {
		args = append(args, "--bwlimit", strconv.FormatInt(y.options.rate, 10)+"b")
	}
	conn, err := xdata.Dial(ctx, y.rsh(0), j.there.Name, j.there.Base.Addr(), args...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	var report syncReport
	if bad := json.Unmarshal(answer, &report); bad != nil {
		if err == nil {
			err = fault.Wrap(bad, fault.Failed, "", "reading the report of %s", j.there.Name)
		}
		return nil, err
	}
	return report.Results, nil
}

// reach waits for a first word from there. A sync says nothing until it is done,
// which may take long, so that it cannot show whether there is anybody.
func (y *syncer) reach(ctx context.Context, there *clusterconf.Server) error {
	conn, err := y.serve(ctx, there)
	if err != nil {
		return err
	}
	defer conn.Close() // it complains of the early end
	_, err = conn.Read(make([]byte, 1))
	return err
}

// failedSync reports a sync that did not come about.
func failedSync(lim int, err error) xdata.Result {
	text := err.Error()
	return xdata.Result{LIM: lim, Direction: xdata.DirectionNone, Result: xdata.Failed, Error: &text, Code: fault.CodeOf(err)}
}

// codeOf is the exit code of what another server reports. One of an older
// version says the outcome alone.
func codeOf(r xdata.Result) fault.Code {
	switch {
	case r.Code != fault.OK:
		return r.Code
	case r.Result == xdata.Conflict:
		return fault.Conflict
	case r.Result == xdata.Refused:
		return fault.Refused
	}
	return fault.Failed
}

// failure is nil if all went well; else its code is that of the gravest failure.
func (y *syncer) failure() error {
	return worst(errors.Join(y.errs...), fmt.Sprintf("%d of %d LIMs were not synchronised", len(y.errs), len(y.results)))
}
