package member

import (
	"encoding/json"
	"slices"
)

// delegate receives from memberlist. It only copies and queues: memberlist must
// not be called from inside its delegates.
type delegate struct{ p *Pool }

// NodeMeta is empty: states travel in messages of our own, which may be longer.
func (d *delegate) NodeMeta(int) []byte { return nil }

// NotifyMsg queues one message with its time of arrival.
func (d *delegate) NotifyMsg(b []byte) {
	d.p.queue.put(incoming{at: d.p.cfg.Now(), body: slices.Clone(b)}, true)
}

// GetBroadcasts is empty: states are sent straight and spread by push/pull.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is every state known here, so that servers that never speak to
// each other directly learn of each other. Names that should not be there, as far as
// that is known, are not passed on: invented ones would live on among the servers.
func (d *delegate) LocalState(bool) []byte {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	all := []record{d.p.own}
	for _, r := range d.p.states {
		if len(d.p.peers) == 0 || !d.p.stranger(r.Origin) {
			all = append(all, r)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		d.p.cfg.Log.Error("encoding the states for a push/pull", "err", err)
	}
	return b
}

// MergeRemoteState queues every state that came with a push/pull.
func (d *delegate) MergeRemoteState(buf []byte, _ bool) {
	d.p.queue.put(incoming{at: d.p.cfg.Now(), body: slices.Clone(buf), states: true}, true)
}
