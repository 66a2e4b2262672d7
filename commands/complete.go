package commands

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
)

// offer returns completions for a word; args are the arguments before it. It only reads files of
// this server: it asks no agent and reads no settings, so that it answers at once, with or without
// an agent. If it cannot read them it returns nothing, since a shell's prompt is no place for
// errors.
type offer func(store *clusterconf.Store, args []string) []cobra.Completion

// fromDocument is an offer made from the cluster document.
func fromDocument(list func(doc *clusterconf.Document, args []string) []cobra.Completion) offer {
	return func(store *clusterconf.Store, args []string) []cobra.Completion {
		doc, err := store.Read()
		if err != nil {
			return nil
		}
		return list(doc, args)
	}
}

// completer provides the shell's completion.
type completer struct{ *app }

// wireCompletion sets the completion of every command in the tree. The kind of an argument follows
// from its name in the usage line, such as "C" for a cluster; narrowerArguments restricts some.
func (a completer) wireCompletion(root *cobra.Command) {
	narrow, values := narrowerArguments(), a.flagValues()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		takes := !c.HasSubCommands() || strings.Contains(c.Use, " ") // a group takes none
		if c.ValidArgs == nil && c.ValidArgsFunction == nil && takes {
			c.ValidArgsFunction = a.completeArguments(argumentOffers(path, c.Use, narrow))
		}
		complete := func(f *pflag.Flag) {
			value, ok := values[path+" --"+f.Name]
			if !ok {
				value, ok = values["--"+f.Name]
			}
			if !ok {
				value = cobra.NoFileCompletions
			}
			_ = c.RegisterFlagCompletionFunc(f.Name, value) // fails for a flag that has a completion
		}
		c.Flags().VisitAll(complete) // without its parents' flags, which are set when it is run
		c.PersistentFlags().VisitAll(complete)
	}
	visit(root)
}

// argumentOffers returns an offer for each argument of a usage line such as "add-lim C N"; nil for
// unknown ones.
func argumentOffers(path, use string, narrow map[string]offer) []offer {
	kinds := map[string]offer{"C": offerClusters(anyCluster), "N": offerLIMs(anyLIM), "SRV": offerServers(func(*clusterconf.Server, *clusterconf.Cluster) bool { return true })}
	var offers []offer
	for _, word := range strings.Fields(use)[1:] {
		name := strings.Trim(word, "[]")
		o, ok := narrow[path+" "+name]
		if !ok {
			o = kinds[name]
		}
		offers = append(offers, o)
	}
	return offers
}

// narrowerArguments returns the offers for arguments that accept only some clusters, LIMs or
// servers. New names have none.
func narrowerArguments() map[string]offer {
	return map[string]offer{
		"create C":                nil,
		"server add SRV":          nil,
		"lab exec SRV":            offerLabServers, // of the lab, whose document is elsewhere
		"lab fail SRV":            offerLabServers,
		"lab heal SRV":            offerLabServers,
		"preload C":               offerClusters(notPreloaded),
		"add-lim C":               offerClusters(notPreloaded),
		"add-lim N":               offerLIMs(inNoCluster),
		"remove-lim N":            limsOfCluster,
		"fallback N":              offerLIMs(inCluster),
		"failover N":              offerLIMs(inCluster),
		"lock N":                  offerLIMs(inCluster),
		"unlock N":                offerLIMs(isLocked),
		"alias up N":              offerLIMs(inCluster),
		"alias down N":            offerLIMs(inCluster),
		"server to-standby SRV":   offerServers(freeServer),
		"server to-free SRV":      offerServers(idleStandby),
		"server remove SRV":       offerServers(idleServer),
		"server drain SRV":        offerServers(inService),
		"server leave-behind SRV": offerServers(anyServer),
		"server undrain SRV":      offerServers(isDrained),
		"unfreeze C":              offerClusters(isFrozen),
		"config diff A":           offerRevisions,
		"config diff B":           offerRevisions,
		"config rollback REV":     offerRevisions,
	}
}

// completeArguments returns the completion of a command's arguments.
func (a completer) completeArguments(offers []offer) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(offers) || offers[len(args)] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.complete(offers[len(args)], args, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag returns the completion of a flag's value. followed, such as "=", is appended instead
// of a blank.
func (a completer) completeFlag(o offer, followed string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		list := a.complete(o, args, begun)
		if followed == "" {
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		for i, c := range list {
			word, description, _ := strings.Cut(c, "\t")
			list[i] = described(word+followed, description)
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// complete returns the offers with the prefix begun.
func (a completer) complete(o offer, args []string, begun string) []cobra.Completion {
	dirs, err := a.dirs()
	if err != nil {
		return nil
	}
	return withPrefix(o(a.store(dirs), args), begun)
}

// withPrefix returns the completions with the prefix begun.
func withPrefix(list []cobra.Completion, begun string) []cobra.Completion {
	return slices.DeleteFunc(slices.Clone(list), func(c cobra.Completion) bool { return !strings.HasPrefix(c, begun) })
}
