package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"mxcluster/internal/events"
)

// EventLog stores the events of this server (package events).
type EventLog interface {
	Append(batch []events.Event) error
	Read(q events.Query) (found []events.Event, truncated bool, err error)
}

const (
	eventsWaiting = 1024        // bound of queued events; more are dropped, supervision goes on
	eventsTold    = time.Minute // between reports of a failing disk
	eventsAgain   = 5 * time.Second
	// eventsGather is how long events are collected before they are written. What must be durable
	// before an alias is taken is saved at the same moment, and two writes at once would delay each
	// other.
	eventsGather = 20 * time.Millisecond
)

// recorder writes events to disk beside the main loop, so that a full or hung disk does not delay
// that.
type recorder struct {
	log   EventLog
	queue chan events.Event
	lost  atomic.Int64
}

func newRecorder(log EventLog) *recorder {
	return &recorder{log: log, queue: make(chan events.Event, eventsWaiting)}
}

// put queues an event, or counts it as lost.
func (r *recorder) put(e events.Event) {
	select {
	case r.queue <- e:
	default:
		r.lost.Add(1)
	}
}

// run writes until ctx ends, and then the rest. Events that the disk does not take stay in memory,
// and are retried from time to time.
func (r *recorder) run(ctx context.Context, log *slog.Logger) {
	var told time.Time
	var again <-chan time.Time
	for {
		batch := r.gather(ctx, again)
		if len(batch) == 0 && ctx.Err() != nil && again == nil {
			return
		}
		again = nil
		if err := r.log.Append(batch); err != nil {
			if ctx.Err() != nil {
				log.Error("events are lost with this agent", "err", err)
				return
			}
			again = time.After(eventsAgain)
			if now := time.Now(); now.Sub(told) >= eventsTold {
				told = now
				log.Error("events cannot be written; they are kept in memory", "lost", r.lost.Load(), "err", err)
			}
		}
	}
}

// gather returns the events of a short period; none when a retry is due, or ctx has ended and
// everything is written.
func (r *recorder) gather(ctx context.Context, again <-chan time.Time) []events.Event {
	var batch []events.Event
	select {
	case <-ctx.Done():
	case <-again:
	case e := <-r.queue:
		batch = append(batch, e)
		select {
		case <-ctx.Done():
		case <-time.After(eventsGather):
		}
	}
	for len(batch) < eventsWaiting {
		select {
		case e := <-r.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}
