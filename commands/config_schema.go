package commands

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/check"
	"mxcluster/internal/events"
	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/settings"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
	"mxcluster/internal/whatif"
)

// Names of schemas that are no answers of commands.
const (
	schemaDocument = "document"
	schemaSettings = "settings"
	schemaError    = "error"
)

// schemaLevels is the name of the answer of 'config show --levels'.
const schemaLevels = "levels"

// answerKind is the form of what commands answer with -o json.
type answerKind struct {
	kind     string // the value of "kind"; "": the answer has none
	of       reflect.Type
	commands []string // those that give it; none: every command that changes something
}

// answerKinds lists every form of an answer.
func answerKinds() []answerKind {
	return []answerKind{
		{"ChangeResult", reflect.TypeFor[result](), nil},
		{"ClusterDocument", reflect.TypeFor[clusterconf.Document](), []string{"config show"}},
		{"ClusterList", reflect.TypeFor[status.ClusterList](), []string{"list"}},
		{"ClusterStatus", reflect.TypeFor[status.ClusterStatus](), []string{"status"}},
		{"AlarmList", reflect.TypeFor[status.AlarmList](), []string{"alarms list"}},
		{"SinkTest", reflect.TypeFor[sinkTest](), []string{"alarms test"}},
		{"Explanation", reflect.TypeFor[explain.Explanation](), []string{"explain"}},
		{"Simulation", reflect.TypeFor[whatif.Result](), []string{"simulate"}},
		{"EventList", reflect.TypeFor[events.List](), []string{"events"}},
		{"ServerList", reflect.TypeFor[serverList](), []string{"server list", "server show"}},
		{"LIMList", reflect.TypeFor[limList](), []string{"lim list", "lim show"}},
		{"Difference", reflect.TypeFor[difference](), []string{"config diff"}},
		{"History", reflect.TypeFor[history](), []string{"config history"}},
		{"Validation", reflect.TypeFor[validation](), []string{"config validate"}},
		{"KeyList", reflect.TypeFor[keyList](), []string{"key show"}},
		{"AgentStatus", reflect.TypeFor[agentStatus](), []string{"agent status"}},
		{"AliasList", reflect.TypeFor[aliasList](), []string{"alias show"}},
		{"ProbeResult", reflect.TypeFor[probeResult](), []string{"arp probe"}},
		{"ServiceList", reflect.TypeFor[serviceList](), []string{"service status"}},
		{"RehearsalReport", reflect.TypeFor[rehearsalReport](), []string{"rehearse"}},
		{"SyncReport", reflect.TypeFor[syncReport](), []string{"sync"}},
		{"VersionList", reflect.TypeFor[versionList](), []string{"xdata list"}},
		{"VerifyReport", reflect.TypeFor[verifyReport](), []string{"xdata verify"}},
		{"CheckReport", reflect.TypeFor[check.Report](), []string{"check"}},
		{"UpgradeCheck", reflect.TypeFor[UpgradeCheck](), []string{"upgrade check"}},
		{"DocumentLevels", reflect.TypeFor[Levels](), []string{schemaLevels}},
		{"ManagerDiscovery", reflect.TypeFor[managerDiscovery](), []string{"manager discover"}},
		{"ManagerCheck", reflect.TypeFor[managerCheck](), []string{"manager check"}},
		{"ManagerStatus", reflect.TypeFor[managerStatus](), []string{"manager status"}},
		{"", reflect.TypeFor[Version](), []string{"version"}},
	}
}

// newConfigSchemaCommand returns `config schema`.
func newConfigSchemaCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "schema [document | settings | error | COMMAND...]",
		Short: "Print the JSON Schema of the document, the settings or an answer",
		Long: `Config schema prints a JSON Schema (2020-12): of the cluster document by default, of
mxcluster.yaml for "settings", of what a command prints with -o json for its name, and of
what it prints on standard error then, if it fails, for "error"; "levels" is what
'config show --levels' answers. Editors check and
complete YAML files by the first two. Keys of answers are only ever added: their schemas
allow for others.`,
		Example: `  mxcluster config schema >cluster.schema.json
  mxcluster config schema settings
  mxcluster config schema xdata list`,
		Annotations: exits(fault.NotFound),
		Args:        cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			return runConfigSchema(a, c.Root(), strings.Join(args, " "))
		},
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nextWords(schemaNames(c.Root()), args, begun), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// nextWords completes names of several words, one word at a time.
func nextWords(names, before []string, begun string) []cobra.Completion {
	var next []cobra.Completion
	for _, name := range names {
		words := strings.Fields(name)
		if len(words) > len(before) && slices.Equal(words[:len(before)], before) && strings.HasPrefix(words[len(before)], begun) {
			next = append(next, words[len(before)])
		}
	}
	slices.Sort(next)
	return slices.Compact(next)
}

// runConfigSchema needs no settings, and no document.
func runConfigSchema(a *app, root *cobra.Command, name string) error {
	switch a.out.Format {
	case ui.CSV, ui.Name, ui.YAML:
		return fault.New(fault.Usage, "leave -o out", "a schema has no form as %s", a.out.Format)
	}
	s, err := schemaOf(root, name)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the schema: %w", err)
	}
	if _, err := a.out.Data.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// schemaOf returns a schema by its name.
func schemaOf(root *cobra.Command, name string) (*jsonschema.Schema, error) {
	switch name {
	case "", schemaDocument:
		s, err := answerKind{clusterconf.Kind, reflect.TypeFor[clusterconf.Document](), nil}.schema("the cluster document of mxcluster", false)
		if err != nil {
			return nil, err
		}
		changed := s.Properties["changed"]
		eachSchema(s, func(s *jsonschema.Schema) {
			if len(s.Properties) > 0 && s != changed {
				s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {}} // keys of others
			}
		})
		return s, nil
	case schemaSettings:
		return settingsSchema(), nil
	case schemaError:
		return answerKind{"", reflect.TypeFor[failure](), nil}.schema("an error of mxcluster with -o json", true)
	}
	for _, k := range answerKinds() {
		if slices.Contains(k.commands, name) || len(k.commands) == 0 && slices.Contains(changing(root), name) {
			return k.schema("mxcluster "+name+" -o json", true)
		}
	}
	names := schemaNames(root)
	return nil, fault.New(fault.NotFound, didYouMean(name, names, "there are "+strings.Join(names, ", ")), "printing a schema: there is none of %q", name)
}

// schemaNames lists every name that schemaOf knows.
func schemaNames(root *cobra.Command) []string {
	names := append([]string{schemaDocument, schemaSettings, schemaError}, changing(root)...)
	for _, k := range answerKinds() {
		names = append(names, k.commands...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changing lists the commands that change something and answer with a result: those that have
// --dry-run, but for those with an answer of their own.
func changing(root *cobra.Command) []string {
	var own, names []string
	for _, k := range answerKinds() {
		own = append(own, k.commands...)
	}
	for _, c := range allCommands(root) {
		name := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		if c.Flags().Lookup("dry-run") != nil && !slices.Contains(own, name) {
			names = append(names, name)
		}
	}
	return names
}

func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, allCommands(child)...)
	}
	return all
}

// schema makes the schema of a kind. open: other keys are allowed for.
func (k answerKind) schema(title string, open bool) (*jsonschema.Schema, error) {
	s, err := jsonschema.ForType(k.of, &jsonschema.ForOptions{TypeSchemas: typeSchemas()})
	if err != nil {
		return nil, fmt.Errorf("making the schema: %w", err)
	}
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", title
	if kind := s.Properties["kind"]; kind != nil && k.kind != "" {
		kind.Const = jsonschema.Ptr[any](k.kind)
	}
	if open {
		eachSchema(s, func(s *jsonschema.Schema) { s.AdditionalProperties = openProperties(s) })
	}
	return s, nil
}

// openProperties returns the schema of other keys of an object: none where it is a struct, whose
// schema refuses all others by {"not":{}}.
func openProperties(s *jsonschema.Schema) *jsonschema.Schema {
	if s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil {
		return nil
	}
	return s.AdditionalProperties
}

// eachSchema visits a schema and those in it.
func eachSchema(s *jsonschema.Schema, visit func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	visit(s)
	for _, p := range s.Properties {
		eachSchema(p, visit)
	}
	eachSchema(s.Items, visit)
	eachSchema(s.AdditionalProperties, visit)
}

// typeSchemas are the schemas of types that are written as text.
func typeSchemas() map[reflect.Type]*jsonschema.Schema {
	text := func(description string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: description}
	}
	one := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[netip.Addr]():                  text("an address, such as 10.0.0.11"),
		reflect.TypeFor[netip.Prefix]():                text("an address with its prefix length, such as 10.0.0.11/24"),
		reflect.TypeFor[clusterconf.Duration]():        text("a time, such as 300ms, 10s or 5m"),
		reflect.TypeFor[clusterconf.Window]():          text("a time of day, such as 22:00-05:00"),
		reflect.TypeFor[manager.LSN]():                 text("a place in PostgreSQL's log, such as 0/3000060"),
		reflect.TypeFor[clusterconf.FallbackType]():    one(string(clusterconf.FallbackManual), string(clusterconf.FallbackAutomatic)),
		reflect.TypeFor[clusterconf.FailoverMode]():    one(string(clusterconf.FailoverNormal), string(clusterconf.FailoverPreloaded)),
		reflect.TypeFor[clusterconf.Side]():            one(string(clusterconf.SideRegular), string(clusterconf.SideStandby)),
		reflect.TypeFor[clusterconf.MediaServerKind](): one(string(clusterconf.MediaServerColocated), string(clusterconf.MediaServerStandalone)),
		reflect.TypeFor[clusterconf.Rehearse]():        one(string(clusterconf.RehearseNightly)),
	}
}

// settingsSchema makes the schema of mxcluster.yaml.
func settingsSchema() *jsonschema.Schema {
	section := func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}, Properties: map[string]*jsonschema.Schema{}}
	}
	root := section()
	root.Schema, root.Title = "https://json-schema.org/draft/2020-12/schema", "the settings of mxcluster, mxcluster.yaml"
	for _, x := range settings.Describe() {
		at, path := root, x.Path()
		for _, name := range path[:len(path)-1] {
			if at.Properties[name] == nil {
				at.Properties[name] = section()
			}
			at = at.Properties[name]
		}
		value := &jsonschema.Schema{Types: []string{"string", "integer", "boolean"}}
		if x.Several {
			value.Types = append(value.Types, "array")
		}
		if x.Default != "" {
			value.Default, _ = json.Marshal(x.Default) // a string is always encoded
		}
		at.Properties[path[len(path)-1]] = value
	}
	return root
}
