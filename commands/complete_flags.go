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
		"xdata restore --to":     folder,
		"lim set --prompts":      folder,
		"--key-file":             file,
		"--passphrase-file":      file,
		"--identity":             file,
		"--timeline":             file,
		"--output":               fromList(ui.Formats(), cobra.ShellCompDirectiveNoFileComp),
		"--color":                words("auto", "on a terminal", "always", "", "never", ""),
		"--fallback":             fallback,
		"--fallback-window":      words("always", "at any time of day", "22:00-05:00", "for example"),
		"--rehearse":             words(clusterconf.RehearseOff.String(), "by order only", clusterconf.RehearseNightly.String(), "each night, while the standby is free"),
		"--split-brain-stop":     side,
		"--to":                   side,
		"lab fail --how":         words(labFaultOffers()...),
		"--direction":            words(string(xdata.DirectionAuto), "from the newer side", string(xdata.DirectionToStandby), "", string(xdata.DirectionToRegular), ""),
		"--media-server":         words(string(clusterconf.MediaServerNone), "", string(clusterconf.MediaServerColocated), "", string(clusterconf.MediaServerStandalone), ""),
		"--service":              prefixes("systemd:", "ocf:", "exec:"),
		"lim set --check":        prefixes("exec:"),
		"--regular-only-service": prefixes("systemd:", "ocf:", "exec:"),
		"create --standby":       a.completeFlag(offerServers(idleStandby), ""),
		"create --lim":           a.completeFlag(offerLIMs(inNoCluster), "="),
		"change --priority":      a.completeFlag(limsOfCluster, "="),
		"join --server":          a.completeFlag(offerServers(anyServer), ""),
		"simulate --down":        a.completeFlag(offerServers(anyServer), ""),
		"simulate --up":          a.completeFlag(offerServers(anyServer), ""),
		"simulate --cut":         a.completeFlag(offerPairs, ""),
		"--server-is-dead":       a.completeFlag(offerServers(anyServer), ""),
		"--keep":                 side,
		"xdata prune --keep":     cobra.NoFileCompletions, // a number
		"--interface":            a.interfaces,
		"--lim":                  a.completeFlag(offerLIMs(anyLIM), ""),
		"init --lim":             cobra.NoFileCompletions, // a new one
		"server add --lim":       cobra.NoFileCompletions,
		"status --lim":           a.completeFlag(limsOfCluster, ""),
		"sync --lim":             a.completeFlag(limsOfCluster, ""),
		"rehearse --lim":         a.completeFlag(limsOfCluster, ""),
	}
}

// interfaces offers the network interfaces of this server.
func (a completer) interfaces(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	kernel, err := a.env.Kernel()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	links, err := kernel.Links()
	_ = kernel.Close() // it has only looked
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []cobra.Completion
	for _, l := range links {
		if l.Name != "lo" {
			list = append(list, l.Name)
		}
	}
	return withPrefix(list, begun), cobra.ShellCompDirectiveNoFileComp
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
