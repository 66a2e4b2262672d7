package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// notifier tells the service manager how the agent is, in the words of
// sd_notify(3). It writes beside the main loop: a service manager that does not
// read must not hold supervision up.
type notifier struct {
	send     func(state string) error
	watchdog time.Duration // from one sign of life to the next at most; 0: none is asked for
	queue    chan string

	status string    // last one told
	beat   time.Time // last sign of life
	ready  bool
}

func newNotifier(send func(string) error, watchdog time.Duration) *notifier {
	return &notifier{send: send, watchdog: watchdog, queue: make(chan string, 16)}
}

// put hands a state over. One that finds no room is told with the next turn.
func (n *notifier) put(state string) bool {
	select {
	case n.queue <- state:
		return true
	default:
		return false
	}
}

// run writes until ctx ends, and then what is left.
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

// turn is called with each turn of the main loop, and so its sign of life is
// that of the loop.
func (n *notifier) turn(now time.Time, settled bool, status string) {
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

// statusLine says in one line how this server is, for `systemctl status`.
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
