package evidence

import "time"

// The polling of a server that may be failing.
const (
	pollsPerLimit = 10                   // while all is well
	missesToHurry = 2                    // unanswered polls before polling in haste
	hastePerLimit = 200                  // polls of a server in doubt: at 50 % loss both ways one in four succeeds
	minHaste      = 2 * time.Millisecond // from one of those to the next
	minPolls      = 8                    // unanswered polls without which nobody counts as silent
)

// Watch decides when a polled host counts as silent. Silence is counted only
// while this process really polled: if it was itself stopped or starved, the
// count starts anew, because answers may have been missed and none were asked
// for. The zero value with a Limit is ready. Watch is not safe for concurrent use.
type Watch struct {
	Limit time.Duration // silence that makes a host gone

	heard  time.Time // last sign of life
	anchor time.Time // silence counts from here at the earliest
	polled time.Time // last poll
	missed int       // polls since the last sign of life or the anchor
	turns  int       // times since then at which it was looked for, with a poll or without
}

// Heard records a sign of life.
func (w *Watch) Heard(at time.Time) {
	if at.After(w.heard) {
		w.heard = at
		w.missed, w.turns = 0, 0
	}
}

// Polled records that a poll is sent now.
func (w *Watch) Polled(now time.Time) {
	w.Looked(now)
	w.missed++
}

// Looked records that this process listens, and sends no poll now.
func (w *Watch) Looked(now time.Time) {
	if w.anchor.IsZero() || now.Sub(w.polled) > w.tolerance() {
		w.anchor = now
		w.missed, w.turns = 0, 0
	}
	w.polled = now
	w.turns++
}

// tolerance is the gap between two polls above which this process itself must
// have been away.
func (w *Watch) tolerance() time.Duration {
	return max(w.Limit/2, 4*w.Limit/pollsPerLimit)
}

// haste is the time from one poll to the next once answers are missing.
func (w *Watch) haste() time.Duration { return max(w.Limit/hastePerLimit, minHaste) }

// Period returns the time from one poll to the next: a tenth of the limit while
// all is well, a two-hundredth once two answers are missing, and a tenth again when the
// silence has lasted for twice the limit and there is nothing left to decide.
func (w *Watch) Period(now time.Time) time.Duration {
	calm := w.Limit / pollsPerLimit
	if w.InDoubt() && now.Sub(w.from()) < 2*w.Limit {
		return min(w.haste(), calm)
	}
	return calm
}

// InDoubt reports whether signs of life are missing.
func (w *Watch) InDoubt() bool { return w.turns > missesToHurry }

// Silent reports whether the host has been silent for the limit, although it
// was asked all that time.
func (w *Watch) Silent(now time.Time) bool {
	return !w.anchor.IsZero() && w.missed >= minPolls &&
		now.Sub(w.polled) <= w.tolerance() && now.Sub(w.from()) >= w.Limit
}

// HeardSince reports whether a sign of life came in the limit before now.
func (w *Watch) HeardSince(now time.Time) bool {
	return !w.heard.IsZero() && now.Sub(w.heard) < w.Limit
}

// LastHeard returns the time of the last sign of life; zero if there was none.
func (w *Watch) LastHeard() time.Time { return w.heard }

// from is the start of the present silence.
func (w *Watch) from() time.Time {
	if w.anchor.After(w.heard) {
		return w.anchor
	}
	return w.heard
}
