package commands

import (
	"sync"

	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// warnings are problems that did not stop a command, each reported once.
type warnings struct {
	tell func(err error)

	mu   sync.Mutex
	told map[string]bool
}

// warn is safe for concurrent use.
func (w *warnings) warn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := err.Error(); !w.told[text] {
		w.told[text] = true
		w.tell(err)
	}
}

// tellWarnings shows warnings on standard error.
func tellWarnings(out *ui.Output) *warnings {
	return &warnings{tell: func(err error) { out.Warn("%s", xdata.Advice(err)) }, told: map[string]bool{}}
}

// keepWarnings collects warnings as errors of a command whose task failed by them.
func keepWarnings(errs *[]error) *warnings {
	return &warnings{tell: func(err error) { *errs = append(*errs, err) }, told: map[string]bool{}}
}
