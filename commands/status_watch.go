package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// Screen is the terminal of a watch.
type Screen interface {
	// Size returns the terminal's columns and rows.
	Size() (columns, rows int)
	// Keys receives what is pressed, one key at a time; nil where there is no keyboard.
	Keys() <-chan ui.Key
	// Close gives the terminal back as it was.
	Close() error
}

// watchStatus shows the status until it is interrupted, or ended by a key: that is how a watch ends,
// and nothing to complain of. What fails after the first page is said, and tried again: an agent may
// be restarted.
func watchStatus(ctx context.Context, a *app, cluster string, o statusOptions) error {
	if o.watch <= 0 {
		return fault.New(fault.Usage, "give a time such as 2s", "--watch: %s is no time to wait", o.watch)
	}
	w := &statusWatch{app: a, cluster: cluster, options: o}
	if a.env.Screen == nil || !a.env.Terminal(a.env.Stdout) {
		return w.list(ctx)
	}
	page, err := w.page(ctx) // what is wrong from the start is said as ever
	if err != nil {
		return err
	}
	s, err := a.env.Screen()
	if err != nil {
		return err
	}
	err = w.show(ctx, s, page)
	return errors.Join(err, s.Close())
}

// statusWatch is a running watch.
type statusWatch struct {
	*app
	cluster string
	options statusOptions
}

// page is the status as text; notes are in it.
func (w *statusWatch) page(ctx context.Context) ([]byte, error) {
	var page bytes.Buffer
	w.out.Data, w.out.Notes = &page, &page
	err := runStatus(ctx, w.app, w.cluster, w.options)
	return page.Bytes(), err
}

// list writes one status below the other.
func (w *statusWatch) list(ctx context.Context) error {
	tick := time.NewTicker(w.options.watch)
	defer tick.Stop()
	for first := true; ; first = false {
		var page bytes.Buffer
		w.out.Data = &page
		err := runStatus(ctx, w.app, w.cluster, w.options)
		switch {
		case err != nil && (first || ctx.Err() != nil):
			return ended(ctx, err)
		case err != nil:
			w.out.Warn("%v", err)
		default:
			if _, err := w.stdout.Write(page.Bytes()); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return ended(ctx, err)
		}
	}
}

// shown is what one look at the status came to.
type shown struct {
	page []byte
	err  error
}

// show draws one status in the place of the last on a terminal. Keys are obeyed while an agent that
// hangs is asked.
func (w *statusWatch) show(ctx context.Context, s Screen, page []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	looks := make(chan shown, 1)
	looking := false
	defer func() { // the look under way writes to what belongs to the caller
		cancel()
		if looking {
			<-looks
		}
	}()
	tick := time.NewTicker(w.options.watch)
	defer tick.Stop()
	var view ui.Viewport
	defer func() { _, _ = w.stdout.Write(view.End()) }()
	lines, failure := split(page), ""
	for {
		columns, rows := s.Size()
		footer := func(hidden int) string { return w.footer(failure, hidden) }
		if _, err := w.stdout.Write(view.Draw(lines, footer, columns, rows)); err != nil {
			return err
		}
		look := false
		select {
		case <-tick.C:
			look = true
		case k := <-s.Keys():
			switch k {
			case ui.KeyQuit:
				return nil
			case ui.KeyBreak:
				return exitError{fault.Interrupted}
			case ui.KeyOther:
				look = true
			default:
				view.Press(k)
			}
		case l := <-looks:
			looking = false
			if l.err != nil {
				failure, _, _ = strings.Cut(l.err.Error(), "\n")
			} else {
				lines, failure = split(l.page), ""
			}
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return ended(ctx, err)
		}
		if look && !looking {
			looking = true
			go func() {
				page, err := w.page(ctx)
				looks <- shown{page, err}
			}()
		}
	}
}

// footer has the time, what failed last, and the keys.
func (w *statusWatch) footer(failure string, hidden int) string {
	clock := w.env.Now().Format(time.TimeOnly)
	switch {
	case failure != "":
		return clock + "  not up to date: " + failure
	case hidden > 0:
		return fmt.Sprintf("%s  every %s  %d more lines: arrows  q ends", clock, w.options.watch, hidden)
	}
	return fmt.Sprintf("%s  every %s  q ends", clock, w.options.watch)
}

func split(page []byte) []string {
	return strings.Split(strings.TrimRight(string(page), "\n"), "\n")
}

// ended is how a watch ends by its context.
func ended(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return exitError{fault.Interrupted}
	}
	return err
}
