package commands

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/snmp"
)

// snmpFresh is how long one look at the agent serves what snmpd asks: a walk asks for each
// object by itself.
const snmpFresh = 2 * time.Second

// newSNMPPassCommand returns `snmp-pass`, which snmpd runs.
func newSNMPPassCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "snmp-pass",
		Short:  "Answer snmpd over its pass_persist protocol",
		Hidden: true,
		Long: `Snmp-pass is run by Debian's snmpd, which shows the objects of MXCLUSTER-MIB to
managers: pass_persist ` + snmp.Root + ` /usr/bin/mxcluster snmp-pass`,
		Annotations: exits(fault.Failed),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			agent, err := a.agent()
			if err != nil {
				return err
			}
			var objects []snmp.Object
			var at time.Time
			return snmp.Pass(a.env.Stdin, a.stdout, func() ([]snmp.Object, error) {
				if now := a.env.Now(); objects == nil || now.Sub(at) >= snmpFresh || now.Before(at) {
					objects, err = snmpObjects(c.Context(), agent)
					at = now
				}
				return objects, err
			})
		},
	}
}

// snmpObjects are all that there is now.
func snmpObjects(ctx context.Context, agent Agent) ([]snmp.Object, error) {
	st, err := agent.Status(ctx)
	if err != nil {
		return nil, err
	}
	list, err := agent.Alarms(ctx)
	if err != nil {
		return nil, err
	}
	return snmp.Objects(st, list.Alarms), nil
}
