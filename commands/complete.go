package commands

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
)

// offer returns what a word may be; args are the arguments before it. It has the
// files of this server to go by: completion asks no agent and reads no settings,
// so that it answers at once, and just as well where nothing runs. Where it
// cannot read them it offers nothing: the prompt of a shell is no place for errors.
type offer func(store *clusterconf.Store, args []string) []cobra.Completion

// fromDocument is an offer of what is in the cluster document.
func fromDocument(list func(doc *clusterconf.Document, args []string) []cobra.Completion) offer {
	return func(store *clusterconf.Store, args []string) []cobra.Completion {
		doc, err := store.Read()
		if err != nil {
			return nil
		}
		return list(doc, args)
	}
}

// completer offers what may stand where the shell asks.
type completer struct{ *app }

// wireCompletion gives every command of the tree its completion. What an
// argument stands for is read from its name in the usage line, such as "C" for a
// cluster; narrower says where only some of those make sense.
func (a completer) wireCompletion(root *cobra.Command) {
	narrow, values := narrowerArguments(), a.flagValues()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		if c.ValidArgs == nil && c.ValidArgsFunction == nil && !c.HasSubCommands() {
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
			_ = c.RegisterFlagCompletionFunc(f.Name, value) // fails for a flag that has one
		}
		c.Flags().VisitAll(complete) // its own: those of its parents come in when it is run
		c.PersistentFlags().VisitAll(complete)
	}
	visit(root)
}

// argumentOffers returns an offer for each argument of a usage line such as
// "add-lim C N", nil for those that nothing is known about.
func argumentOffers(path, use string, narrow map[string]offer) []offer {
	kinds := map[string]offer{"C": offerClusters(anyCluster), "N": offerLIMs(anyLIM), "SRV": offerServers(anyServer)}
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

// narrowerArguments are the arguments that are not just any cluster, LIM or server.
// A new name is offered nothing.
func narrowerArguments() map[string]offer {
	return map[string]offer{
		"create C":              nil,
		"server add SRV":        nil,
		"lab exec SRV":          nil, // servers of the lab, whose document is elsewhere
		"preload C":             offerClusters(notPreloaded),
		"add-lim C":             offerClusters(notPreloaded),
		"add-lim N":             offerLIMs(inNoCluster),
		"remove-lim N":          limsOfCluster,
		"fallback N":            offerLIMs(inCluster),
		"failover N":            offerLIMs(inCluster),
		"lock N":                offerLIMs(inCluster),
		"unlock N":              offerLIMs(isLocked),
		"alias up N":            offerLIMs(inCluster),
		"alias down N":          offerLIMs(inCluster),
		"server to-standby SRV": offerServers(freeServer),
		"server to-free SRV":    offerServers(idleStandby),
		"server remove SRV":     offerServers(idleServer),
		"server drain SRV":      offerServers(inService),
		"server undrain SRV":    offerServers(isDrained),
		"unfreeze C":            offerClusters(isFrozen),
		"config diff A":         offerRevisions,
		"config diff B":         offerRevisions,
		"config rollback REV":   offerRevisions,
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

// completeFlag returns the completion of a flag's value. What it is to be
// followed by, such as "=", is set behind it instead of a blank.
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

// complete returns what is offered and begins like the word begun.
func (a completer) complete(o offer, args []string, begun string) []cobra.Completion {
	dirs, err := a.dirs()
	if err != nil {
		return nil
	}
	return withPrefix(o(a.store(dirs), args), begun)
}

// withPrefix returns the words that begin like begun.
func withPrefix(list []cobra.Completion, begun string) []cobra.Completion {
	return slices.DeleteFunc(slices.Clone(list), func(c cobra.Completion) bool { return !strings.HasPrefix(c, begun) })
}
