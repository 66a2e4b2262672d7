package commands

import "github.com/spf13/cobra"

// newServerCommand groups what concerns servers.
func newServerCommand(a *app) *cobra.Command {
	return newGroup("server", "Add, show, change and remove servers", `
Servers are regular (they have a LIM), standby, or free. Their base addresses do
not move between them.`, `
  mxcluster server add srv2 --base 10.0.0.12/24 --interface eth0 --lim 2
  mxcluster server to-standby sb1
  mxcluster server list`,
		newServerListCommand(a), newServerShowCommand(a), newServerAddCommand(a), newServerSetCommand(a), newServerToStandbyCommand(a),
		newServerToFreeCommand(a), newServerDrainCommand(a), newServerUndrainCommand(a), newServerLeaveBehindCommand(a), newServerRemoveCommand(a))
}
