package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/remoteshell"
	"mxcluster/internal/sshlogin"
	"mxcluster/xdata"
)

// syncer carries out syncs and collects their results.
type syncer struct {
	server  *server
	options syncOptions
	settle  time.Duration // how long versions being written by other programs are waited for
	results []xdata.Result
	errs    []error
}

// doAll carries out all jobs, even if some fail.
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

// rsh returns how another server is reached.
func (s *server) rsh() remoteshell.Shell {
	return remoteshell.Shell{
		Command: s.settings.SyncRSH, RemoteCommand: s.settings.SyncRemoteCommand,
		Options: sshlogin.RunOptions(s.settings.SyncIdleLimit), Patience: s.settings.SyncLoginLimit,
	}
}

// serve starts the server of a sync on another server.
func (s *server) serve(ctx context.Context, rsh remoteshell.Shell, there *clusterconf.Server) (xdata.Conn, error) {
	return remoteshell.Dial(ctx, rsh, there.Name, there.Base.Addr(), "xdata", "serve")
}

// local synchronises one LIM between this server and its peer, and records the result.
func (y *syncer) local(ctx context.Context, j syncJob, lim int) (xdata.Result, error) {
	var r xdata.Result
	err := y.settled(ctx, lim, func() (*xdata.Writing, error) {
		err := whileBusy(ctx, y.options.wait, func() (err error) {
			r, err = y.syncPair(ctx, j, lim)
			return err
		})
		return r.Writing, err
	})
	if y.options.dryRun {
		return r, err
	}
	if bad := y.server.syncs().Note(lim, y.server.env.Now(), err); bad != nil {
		y.server.out.Detail("%v", bad)
	}
	y.server.tellData(ctx)
	return r, err
}

func (y *syncer) syncPair(ctx context.Context, j syncJob, lim int) (xdata.Result, error) {
	peer, err := y.server.serve(ctx, y.server.rsh(), j.there)
	if err != nil {
		return failedSync(lim, err), err
	}
	store := y.server.versions()
	store.Reason = y.options.reason
	store.Note = func(text string) { y.server.out.Warn("LIM %d: %s", lim, text) }
	var lastGood time.Time
	if before, err := y.server.syncs().Read(lim); err == nil && before.LastGood != nil {
		lastGood = *before.LastGood
	}
	if j.side == clusterconf.SideStandby {
		store.Spare = xdata.StandbySpare
	}
	bar := y.server.progress(fmt.Sprintf("LIM %d", lim), 0)
	defer bar.Close()
	r, err := xdata.Sync(ctx, store, peer, xdata.Request{
		LIM: lim, Side: j.side, Direction: xdata.Direction(y.options.direction), Keep: clusterconf.Side(y.options.keep), DryRun: y.options.dryRun, Rate: y.options.rate,
		LastGood: lastGood, Idle: y.server.settings.SyncIdleLimit, Active: func() bool { return y.server.runs(ctx, lim) },
		Progress: func(n, total int64) {
			if total > 0 {
				bar.Expect(total)
			}
			bar.Add(n)
		},
	})
	// Errors of the peer's process have been reported by Sync already.
	_ = peer.Close()
	return r, err
}

// syncs returns the records of this server's syncs.
func (s *server) syncs() xdata.Records {
	return xdata.Records{Dir: s.dirs.Syncs()}
}

// delegate lets the standby of a cluster carry out a job, and takes over its report.
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

// remote runs the sync on the other server. Its exit code adds nothing to its report.
func (y *syncer) remote(ctx context.Context, j syncJob) ([]xdata.Result, error) {
	// The other server may have a version that does not know the options.
	opened, err := y.server.awaitGreeting(ctx, y.server.rsh(), j.there)
	if err == nil && opened.For != "" {
		err = y.mayOrder(opened, j)
	}
	if err != nil {
		return nil, err
	}
	args := []string{"sync", j.cluster, "--direction", y.options.direction, "--output", "json", "--no-input", "--signs"}
	for _, lim := range j.lims {
		args = append(args, "--lim", strconv.Itoa(lim))
	}
	if y.options.dryRun {
		args = append(args, "--dry-run")
	}
	if y.options.keep != "" {
		args = append(args, "--keep", y.options.keep)
	}
	if y.options.wait > 0 {
		args = append(args, "--wait="+y.options.wait.String())
	}
	if y.options.bwlimit != "" {
		args = append(args, "--bwlimit", strconv.FormatInt(y.options.rate, 10)+"b")
	}
	conn, err := remoteshell.Dial(ctx, y.server.rsh(), j.there.Name, j.there.Base.Addr(), args...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := xdata.Answer(conn, maxReport, y.server.settings.SyncIdleLimit)
	if report, ok := findReport(answer); ok {
		return report.Results, nil
	}
	if err == nil {
		err = fault.New(fault.Failed, "run it there by hand: mxcluster sync "+j.cluster, "what %s answers is no report of a sync", j.there.Name)
	}
	return nil, err
}

// mayOrder checks whether our key may order the sync there.
func (y *syncer) mayOrder(opened xdata.Access, j syncJob) error {
	doc, err := y.server.read()
	if err != nil {
		return err
	}
	k := syncKey{from: opened.For, orders: opened.Orders}
	return k.mayOrder(doc, j.there.Name, sshCommand{cluster: j.cluster, sync: syncOptions{lims: j.lims}})
}

// maxReport is the most bytes of another server's report.
const maxReport = 1 << 20

// findReport finds the report in the output of a login and mxcluster.
func findReport(answer []byte) (report syncReport, ok bool) {
	for range maxBraces {
		i := bytes.IndexByte(answer, '{')
		if i < 0 {
			break
		}
		answer = answer[i:]
		report = syncReport{}
		if json.NewDecoder(bytes.NewReader(answer)).Decode(&report) == nil && report.Kind == syncReportKind {
			return report, true
		}
		answer = answer[1:]
	}
	return report, false
}

// maxBraces bounds the attempts to find the beginning of a report.
const maxBraces = 1000

// awaitGreeting waits for the greeting of mxcluster on another server.
func (s *server) awaitGreeting(ctx context.Context, rsh remoteshell.Shell, there *clusterconf.Server) (xdata.Access, error) {
	conn, err := s.serve(ctx, rsh, there)
	if err != nil {
		return xdata.Access{}, err
	}
	defer conn.Close() // its error is about the early end
	return xdata.Meet(conn)
}

// failedSync reports a sync that could not be carried out.
func failedSync(lim int, err error) xdata.Result {
	text := err.Error()
	return xdata.Result{LIM: lim, Direction: xdata.DirectionNone, Result: xdata.Failed, Error: &text, Code: fault.CodeOf(err)}
}

// codeOf returns the exit code in another server's report. An older version states the outcome
// only.
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

// failure returns nil if all syncs succeeded, else an error with the most severe code.
func (y *syncer) failure() error {
	return joinErrors(errors.Join(y.errs...), fmt.Sprintf("%d of %d LIMs were not synchronised", len(y.errs), len(y.results)))
}
