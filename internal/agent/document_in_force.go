package agent

import (
	"fmt"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// setDocument puts the stored document into force.
func (a *Agent) setDocument(stored *clusterconf.Encoded) error {
	d, self := a.docs.withSelf(stored.Document)
	if self == nil {
		return fmt.Errorf("server %s is not in the cluster document", a.cfg.Server)
	}
	former := a.net
	if err := a.lims.leaveAliases(d, self.Base); err != nil {
		return fmt.Errorf("taking off an alias that is none any more: %w", err)
	}
	if err := a.link.ensureBases(self, bases(d, self)); err != nil {
		// An interface that is not there yet may come: whoever started the agent is to try again.
		return fault.Wrap(err, fault.Failed, "", "making sure of base address %s", self.Base)
	}
	delete(a.swaps.ready, self.Base)
	if at := d.Gossip(self); a.net == nil || a.net.base != at || a.net.named != self.Interface {
		if err := a.networks.open(self, at); err != nil {
			return err
		}
	}
	if a.doc == nil || a.doc.Revision != d.Revision {
		a.journal.document(d)
	}
	a.kept.unsaved = a.peers.noteMoves(a.doc, d) || a.kept.unsaved
	a.data.removeOutdated(a.doc, d)
	a.lims.lookAtLeaving()
	a.doc, a.docs.stored, a.hash = d, stored, stored.Hash()
	a.docs.remember(stored)
	a.docs.noteRemoved(stored.Document, self)
	a.networks.supervise()
	a.lims.noteFormer(former)
	if err := a.swaps.leaveBase(d, self, former); err != nil {
		return fmt.Errorf("taking off the former base: %w", err)
	}
	if a.keeper != nil && former != nil && former != a.net {
		a.keeper.Reconnect() // the former base is an alias, or gone
	}
	a.orders.permitDeferred()
	return nil
}
