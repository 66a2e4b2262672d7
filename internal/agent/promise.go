package agent

import (
	"maps"
	"reflect"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/whatif"
)

// outlook is the result of simulating the loss of each server, on a standby.
type outlook struct {
	promises map[int]*failover.Promise // by LIM
	busy     bool                      // a simulation is running ...
	since    time.Time                 // ... since then
	from     whatif.Present            // input of the last simulation
}

// lookAgain is how often the simulation is repeated although nothing has changed: locks and freezes
// end by themselves.
const lookAgain = 10 * time.Second

// lookLasts is how long a simulation may take before the last result counts as unknown.
const lookLasts = 2 * time.Second

// lookAhead simulates, on a standby and beside the main loop, whether the loss of each server would
// be covered. The result is part of the claim.
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
	if last := &a.outlook.from; present.Document == last.Document && present.Now.Sub(last.Now) < lookAgain && reflect.DeepEqual(present.Servers, last.Servers) && maps.Equal(present.Keys, last.Keys) {
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
