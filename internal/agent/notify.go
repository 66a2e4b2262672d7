package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// notifier tells the service manager the agent's state, by sd_notify(3). It writes beside the main
// loop, so that a service manager that does not read cannot block supervision.
type notifier struct {
	send     func(state string) error
	watchdog time.Duration // longest time between signs of life; 0: none are needed
	queue    chan string

	status string    // last status sent
	beat   time.Time // last sign of life
	ready  bool
}

func newNotifier(send func(string) error, watchdog time.Duration) *notifier {
	return &notifier{send: send, watchdog: watchdog, queue: make(chan string, 16)}
}

// put queues a state. If the queue is full, the next update sends it.
func (n *notifier) put(state string) bool {
	select {
	case n.queue <- state:
		return true
	default:
		return false
	}
}

// run writes until ctx ends, and then the rest.
func (n *notifier) run(ctx context.Context, log *slog.Logger) {
	for {
		var state string
		select {
		case state = <-n.queue:
		default:
			select {
			case <-ctx.Done():
				return
			case state = <-n.queue:
			}
		}
		if err := n.send(state); err != nil {
			log.Debug("telling the service manager", "state", state, "err", err)
		}
	}
}

// update is called in each turn of the main loop, so that the sign of life is the main loop's.
func (n *notifier) update(now time.Time, settled bool, status string) {
	if settled && !n.ready {
		n.ready = n.put("READY=1")
	}
	if status != n.status && n.put("STATUS="+status) {
		n.status = status
	}
	if n.watchdog > 0 && now.Sub(n.beat) >= n.watchdog/3 && n.put("WATCHDOG=1") {
		n.beat = now
	}
}

// statusLine describes this server in one line, for `systemctl status`.
func (a *Agent) statusLine() string {
	var lims []string
	for n, l := range a.lims.all {
		if l.State.Active() || l.alias.holds {
			lims = append(lims, fmt.Sprintf("LIM %d %s", n, l.State))
		}
	}
	slices.Sort(lims)
	if len(lims) == 0 {
		lims = []string{"runs no LIM"}
	}
	line := fmt.Sprintf("%s: %s; revision %d", a.cfg.Server, strings.Join(lims, ", "), a.doc.Revision)
	switch {
	case a.stopping:
		line += "; stopping"
	case !a.settled:
		line += "; waits to hear the other servers"
	case a.link.isolation.Isolated:
		line += "; isolated"
	}
	return line
}
