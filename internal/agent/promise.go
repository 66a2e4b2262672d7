package agent

import (
	"reflect"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/whatif"
)

// outlook is what would come of the losses of servers, as a standby sees it.
type outlook struct {
	promises map[int]*failover.Promise // by LIM
	busy     bool                      // it is being looked at ...
	since    time.Time                 // ... since then
	from     whatif.Present            // what it was looked at from
}

// lookAgain is how often it is looked at anew though nothing has changed: locks and
// freezes end by themselves.
const lookAgain = 10 * time.Second

// lookLasts is how long a look may take until what the one before came to is nothing to
// go by any more.
const lookLasts = 2 * time.Second

// lookAhead has this standby look whether the losses of servers would be covered, beside
// the main loop, once at a time. It tells the others with its claim.
func (a *Agent) lookAhead() {
	c := a.cluster()
	if c == nil || c.Standby != a.cfg.Server || !a.settled {
		a.outlook.promises, a.outlook.from = nil, whatif.Present{}
		return
	}
	if a.outlook.busy {
		if time.Since(a.outlook.since) > lookLasts {
			a.outlook.promises = nil
		}
		return
	}
	present, name := a.present(), c.Name
	if last := &a.outlook.from; present.Document == last.Document && present.Now.Sub(last.Now) < lookAgain && reflect.DeepEqual(present.Servers, last.Servers) {
		return
	}
	a.outlook.busy, a.outlook.since = true, present.Now
	a.wg.Go(func() {
		promises := map[int]*failover.Promise{}
		if c := present.Document.Cluster(name); c != nil {
			promises = whatif.Promises(present, c)
		}
		a.post(func() { a.outlook = outlook{promises: promises, from: present} })
	})
}
