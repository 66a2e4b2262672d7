package xdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
)

// SyncLimit is how old the last successful sync of a LIM may be: a day, and an hour for delays
// (spec ch. 3, "once every 24-hour period").
const SyncLimit = 25 * time.Hour

// Record is the history of a LIM's syncs on one server, whoever started them: a command, cron, the
// agent or the other side.
type Record struct {
	LIM      int          `json:"lim"`
	Since    time.Time    `json:"since"`    // when the record was begun
	LastGood *time.Time   `json:"lastGood"` // nil: none yet
	Failure  *SyncFailure `json:"failure"`  // failures since the last good sync; nil: none
}

// SyncFailure describes a row of failed syncs.
type SyncFailure struct {
	At    time.Time  `json:"at"`   // of the first failure in a row
	Last  time.Time  `json:"last"` // of the last one
	Code  fault.Code `json:"code"` // of the last one
	Error string     `json:"error"`
}

// Failed tells why a LIM counts as not synchronised, for the alarm (spec, "Standby Cluster has
// Failed to Synchronize Data"): the last sync failed, or the last successful one is older than
// SyncLimit. "": it is synchronised.
func (r *Record) Failed(now time.Time) string {
	since := r.Since
	if r.LastGood != nil {
		since = *r.LastGood
	}
	switch {
	case r.Failure != nil:
		return r.Failure.Error
	case since.IsZero() || now.Sub(since) <= SyncLimit:
		return ""
	case r.LastGood == nil:
		return fmt.Sprintf("not synchronised since %s", since.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("last synchronised at %s", since.UTC().Format(time.RFC3339))
}

// Records is the folder of the records, one file for each LIM.
type Records struct{ Dir string }

func (r Records) path(lim int) string { return filepath.Join(r.Dir, fmt.Sprintf("lim-%d.json", lim)) }

// Read returns the record of a LIM; an empty one where there is none that can be decoded.
func (r Records) Read(lim int) (Record, error) {
	rec := Record{LIM: lim}
	data, err := os.ReadFile(r.path(lim))
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("read when LIM %d was synchronised: %w", lim, err)
	}
	if json.Unmarshal(data, &rec) != nil || rec.LIM != lim {
		return Record{LIM: lim}, nil
	}
	return rec, nil
}

// Begin creates the record of a LIM that has none, so that a LIM which is never synchronised is
// noticed in time.
func (r Records) Begin(lim int, now time.Time) (Record, error) {
	rec, err := r.Read(lim)
	if err != nil || !rec.Since.IsZero() {
		return rec, err
	}
	rec.Since = now.UTC()
	return rec, r.write(rec, now)
}

// Note records a sync that ended now, successfully or with err. A sync that found the LIM busy, or
// was interrupted, says nothing about the data and is not recorded.
func (r Records) Note(lim int, now time.Time, err error) error {
	code := fault.CodeOf(err)
	if code == fault.Busy || code == fault.Interrupted {
		return nil
	}
	rec, bad := r.Read(lim)
	if bad != nil {
		return bad
	}
	now = now.UTC()
	if rec.Since.IsZero() {
		rec.Since = now
	}
	if err == nil {
		rec.LastGood, rec.Failure = &now, nil
		return r.write(rec, now)
	}
	first := now
	if rec.Failure != nil {
		first = rec.Failure.At
	}
	rec.Failure = &SyncFailure{At: first, Last: now, Code: code, Error: fault.Plain(err.Error())}
	return r.write(rec, now)
}

// write replaces a record. A failure is durable on return, so that a crash does not hide it; a
// success that is lost in a crash is recorded again by the next sync.
func (r Records) write(rec Record, now time.Time) error {
	data, err := json.Marshal(rec)
	if err == nil {
		err = os.MkdirAll(r.Dir, 0o755)
	}
	replace := safepath.Replace
	if rec.Failure != nil {
		replace = safepath.ReplaceDurably
	}
	if err == nil {
		r.sweep(rec.LIM, now)
		err = replace(r.path(rec.LIM), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("remember when LIM %d was synchronised: %w", rec.LIM, err)
	}
	return nil
}

// sweep removes temporary files of killed writers of a LIM's record. Another writer may be active.
func (r Records) sweep(lim int, now time.Time) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.path(lim)), "."+filepath.Base(r.path(lim))+"*")) // the pattern is valid
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && now.Sub(info.ModTime()) > time.Hour {
			_ = os.Remove(name) // retried by the next writer
		}
	}
}
