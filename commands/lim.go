package commands

import "github.com/spf13/cobra"

// newLIMCommand groups what concerns LIMs.
func newLIMCommand(a *app) *cobra.Command {
	return newGroup("lim", "Show LIMs and set their software", `
A LIM is the telephone exchange's node software of one regular server.`, `
  mxcluster lim set 1 --service exec:/opt/lim/service
  mxcluster lim list`,
		newLIMListCommand(a), newLIMShowCommand(a), newLIMSetCommand(a))
}
