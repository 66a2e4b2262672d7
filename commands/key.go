package commands

import "github.com/spf13/cobra"

// newKeyCommand groups what concerns the gossip key.
func newKeyCommand(a *app) *cobra.Command {
	return newGroup("key", "Show which servers have which gossip key, or exchange it", `
The agents encrypt what they say to each other with the gossip key, which every
server of the system has in gossip.key. Keys are named by their fingerprints; no
command shows a key itself.`, `
  mxcluster key show
  mxcluster key rotate --wait`,
		newKeyShowCommand(a), newKeyRotateCommand(a))
}
