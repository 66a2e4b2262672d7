package agent

import (
	"fmt"
	"time"
)

// watchAliases notes every moment at which two servers on one side of a
// partition have the same alias.
func (w *world) watchAliases() {
	defer w.watchers.Done()
	tick := time.NewTicker(sample)
	defer tick.Stop()
	for {
		select {
		case <-w.ended:
			return
		case <-tick.C:
		}
		for _, m := range w.doc.Clusters[0].LIMs {
			lim := m.LIM
			if h := w.holders(lim); len(h) > 1 && (w.isStrict() || !w.isCut(h[0], h[1])) {
				w.mu.Lock()
				w.twice = append(w.twice, fmt.Sprintf("LIM %d on %v at %s", lim, h, time.Now().Format("05.000")))
				w.mu.Unlock()
			}
		}
	}
}

// setStrict has servers that do not hear each other count, too.
func (w *world) setStrict() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strict = true
}

func (w *world) isStrict() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.strict
}

// forgetTwice forgets that two servers had one alias, where that was to be.
func (w *world) forgetTwice() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.twice = nil
}

// neverTwice fails the test if two servers ever had one alias.
func (w *world) neverTwice() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.twice) > 0 {
		w.t.Errorf("two servers had one alias %d times, first: %s", len(w.twice), w.twice[0])
	}
}
