package commands

import "github.com/spf13/cobra"

// newXdataCommand groups the commands for data versions.
func newXdataCommand(a *app) *cobra.Command {
	return newGroup("xdata", "Make, list, verify, restore, remove and serve data versions", `
A data version is a complete copy of a LIM's data. The standby starts a LIM on
the newest one; 'mxcluster sync' carries it there.`, `
  mxcluster xdata backup --lim 1 --from /var/opt/lim/data
  mxcluster xdata list`,
		newXdataBackupCommand(a), newXdataListCommand(a), newXdataVerifyCommand(a),
		newXdataRestoreCommand(a), newXdataPruneCommand(a), newXdataRemoveCommand(a), newXdataServeCommand(a))
}
