package commands

import (
	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

// flagValues returns the completions of flags, by "--FLAG" or, for one command, "COMMAND --FLAG".
// Other flags get none, and no file names.
func (a completer) flagValues() map[string]cobra.CompletionFunc {
	folder := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	file := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	fallback := words(string(clusterconf.FallbackManual), "by order", string(clusterconf.FallbackAutomatic), "as soon as the regular server is ready")
	side := words(string(clusterconf.SideRegular), "the LIM's own server", string(clusterconf.SideStandby), "the standby server of its cluster")
	return map[string]cobra.CompletionFunc{
		"--config-dir":           folder,
		"--state-dir":            folder,
		"--run-dir":              folder,
		"--lab":                  folder,
		"xdata backup --from":    folder,
		"lim set --prompts":      folder,
		"--key-file":             file,
		"--passphrase-file":      file,
		"--output":               fromList(ui.Formats(), cobra.ShellCompDirectiveNoFileComp),
		"--color":                words("auto", "on a terminal", "always", "", "never", ""),
		"--fallback":             fallback,
		"--fallback-window":      words("always", "at any time of day", "22:00-05:00", "for example"),
		"--rehearse":             words(clusterconf.RehearseOff.String(), "by order only", clusterconf.RehearseNightly.String(), "each night, while the standby is free"),
		"--split-brain-stop":     side,
		"--to":                   side,
		"--direction":            words(string(xdata.DirectionAuto), "from the newer side", string(xdata.DirectionToStandby), "", string(xdata.DirectionToRegular), ""),
		"--media-server":         words(string(clusterconf.MediaServerNone), "", string(clusterconf.MediaServerColocated), "", string(clusterconf.MediaServerStandalone), ""),
		"--service":              prefixes("systemd:", "ocf:", "exec:"),
		"lim set --check":        prefixes("exec:"),
		"--regular-only-service": prefixes("systemd:", "ocf:", "exec:"),
		"create --standby":       a.completeFlag(offerServers(idleStandby), ""),
		"create --lim":           a.completeFlag(offerLIMs(inNoCluster), "="),
		"change --priority":      a.completeFlag(limsOfCluster, "="),
		"join --server":          a.completeFlag(offerServers(anyServer), ""),
		"status --lim":           a.completeFlag(limsOfCluster, ""),
		"sync --lim":             a.completeFlag(limsOfCluster, ""),
		"rehearse --lim":         a.completeFlag(limsOfCluster, ""),
		"xdata list --lim":       a.completeFlag(offerLIMs(anyLIM), ""),
		"xdata backup --lim":     a.completeFlag(offerLIMs(anyLIM), ""),
	}
}

// words offers fixed values, each followed by its description; "": none.
func words(pairs ...string) cobra.CompletionFunc {
	var list []cobra.Completion
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, described(pairs[i], pairs[i+1]))
	}
	return fromList(list, cobra.ShellCompDirectiveNoFileComp)
}

// prefixes offers beginnings of values.
func prefixes(list ...cobra.Completion) cobra.CompletionFunc {
	return fromList(list, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
}

// fromList offers those of a list with the prefix begun.
func fromList(list []cobra.Completion, directive cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return withPrefix(list, begun), directive
	}
}
