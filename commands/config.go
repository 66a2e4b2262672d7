package commands

import (
	"strconv"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// newConfigCommand groups what concerns the cluster document as a whole.
func newConfigCommand(a *app) *cobra.Command {
	return newGroup("config", "Show, edit, compare and export document and settings", `
The cluster document holds the servers, LIMs and clusters of the system. Every
change makes a new revision, and the former one is kept.`, `
  mxcluster config show
  mxcluster config history
  mxcluster config diff 41 42
  mxcluster config rollback 41
  mxcluster config export /root/srv1.age --passphrase-file /root/passphrase`,
		newConfigShowCommand(a), newConfigEditCommand(a), newConfigValidateCommand(a),
		newConfigHistoryCommand(a), newConfigDiffCommand(a), newConfigRollbackCommand(a),
		newConfigExportCommand(a), newConfigImportCommand(a), newConfigSchemaCommand(a))
}

// parseRevision reads the number of a revision.
func parseRevision(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, fault.New(fault.Usage, "give a number such as 41; 'mxcluster config history' lists them", "%q is not a revision", text)
	}
	return n, nil
}
