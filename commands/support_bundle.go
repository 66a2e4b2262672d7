package commands

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/bundle"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/internal/settings"
)

// newSupportBundleCommand returns `support-bundle`.
func newSupportBundleCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "support-bundle FILE",
		Short: "Write what somebody who helps has to know to one file, without secrets",
		Long: `Support-bundle writes to FILE, a compressed tar archive: the cluster document and the
list of its revisions, the settings, versions, status, alarms, what the agents say, the
events and the journal of the last day, the records of syncs, the report of
'mxcluster check', and what this server's kernel has of addresses, routes, neighbours,
rules and settings.

No secret is in it: keys and password files are not read into it, values of settings that
are commands are cut to the program, and what is a known secret or looks like one is
replaced in every file. Names, addresses and the reasons that people gave stay. Its
README lists what was left out and what could not be had. Look at it before it is sent:
'tar xzf FILE'. It works without an agent, and where document or settings are broken.`,
		Example:     "  mxcluster support-bundle /root/srv1.tar.gz\n  mxcluster support-bundle --yes /root/srv1.tar.gz",
		Annotations: exits(fault.Refused, fault.NotPermitted),
		Args:        arguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := runSupportBundle(c.Context(), a, args[0]); err != nil {
				return fmt.Errorf("making a support bundle: %w", err)
			}
			return nil
		},
	}
	c.ValidArgsFunction = offerFiles
	asRoot(c) // rules and journals are root's
	return c
}

func runSupportBundle(ctx context.Context, a *app, file string) error {
	if err := a.mayReplace(file); err != nil {
		return err
	}
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	g := &gathering{app: a, dirs: dirs}
	g.gather(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	name := cmp.Or(g.name, "server")
	g.add("README", g.readme())
	packed, err := bundle.Pack("mxcluster-"+name, g.files, a.env.Now(), bundle.NewScrubber(g.secrets()...))
	if err != nil {
		return err
	}
	if err := safepath.ReplaceDurably(file, packed, 0o600); err != nil {
		return fault.Wrap(err, fault.CodeOf(err), "make room there, or name another place", "writing %s", file)
	}
	return a.done(result{Changed: true, Text: fmt.Sprintf("%s about %s written to %s; %s could not be had", count(len(g.files), "file"), name, file, count(len(g.missing), "thing"))})
}

// gathering collects the files of a bundle. What fails is noted, and the rest goes on.
type gathering struct {
	*app
	dirs    settings.Dirs
	name    string // of the server
	files   []bundle.File
	missing []string
}

func (g *gathering) add(name string, data []byte) {
	g.files = append(g.files, bundle.File{Name: name, Data: data})
}

// take adds a file, or notes why there is none.
func (g *gathering) take(name string, data []byte, err error) {
	if err != nil {
		g.missing = append(g.missing, name+": "+err.Error())
	}
	if err == nil || len(data) > 0 {
		g.add(name, data)
	}
}

// takeJSON adds a value.
func (g *gathering) takeJSON(name string, v any, err error) {
	if err != nil {
		g.take(name, nil, err)
		return
	}
	text, err := json.MarshalIndent(v, "", "  ")
	g.take(name, append(text, '\n'), err)
}

// bundledEvents is how far back events and journals go.
const bundledEvents = 24 * time.Hour

func (g *gathering) gather(ctx context.Context) {
	g.takeJSON("version.json", g.env.Version, nil)
	store := g.store(g.dirs)
	if doc, err := store.Read(); err != nil {
		g.take("cluster.yaml", nil, err)
	} else {
		g.add("cluster.yaml", clusterconf.Encode(doc))
	}
	if history, err := store.History(); err != nil {
		g.take("history.json", nil, err)
	} else {
		g.takeJSON("history.json", history, nil)
	}
	g.settings()
	agent := g.env.Agent(control.SocketPath(g.dirs.Run), control.SocketPath(g.dirs.State), g.startCommand(g.dirs))
	st, err := g.status(ctx, "", nil)
	g.takeJSON("status.json", st, err)
	info, err := agent.Agent(ctx)
	g.takeJSON("agent.json", info, err)
	alarms, err := agent.Alarms(ctx)
	g.takeJSON("alarms.json", alarms, err)
	g.events(ctx, agent)
	report, err := g.checkAll(ctx, "", false)
	g.takeJSON("check.json", report, err)
	g.syncRecords()
	g.programs(ctx)
}

// settings adds every setting with its value.
func (g *gathering) settings() {
	all, err := settings.Values(g.dirs, g.env.Environ)
	if err != nil {
		g.take("settings", nil, err)
		return
	}
	var text bytes.Buffer
	for _, v := range all {
		if v.Name == "server" {
			g.name = v.Value
		}
		if words := strings.Fields(v.Value); v.Command && len(words) > 1 { // passwords are arguments now and then
			v.Value = words[0] + " " + bundle.Gone
		}
		fmt.Fprintf(&text, "%s: %s    # %s\n", v.Name, v.Value, v.Origin)
	}
	g.add("settings", text.Bytes())
}

func (g *gathering) events(ctx context.Context, agent Agent) {
	q := events.Query{Since: g.env.Now().Add(-bundledEvents)}
	list, err := agent.Events(ctx, q)
	if err == nil {
		g.takeJSON("events.json", list, nil)
		return
	}
	log := events.Log{Path: filepath.Join(g.dirs.State, "events")}
	own, _, err := log.Read(q)
	g.takeJSON("events.json", append([]events.Event{}, own...), err)
}

// syncRecords adds when LIMs were synchronised.
func (g *gathering) syncRecords() {
	found, err := filepath.Glob(filepath.Join(g.dirs.Syncs(), "*"))
	if err != nil {
		g.take("sync", nil, err)
		return
	}
	for _, path := range found {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(path)
		g.take("sync/"+filepath.Base(path), data, err)
	}
}

// programs adds what other programs say of this server.
func (g *gathering) programs(ctx context.Context) {
	for name, words := range map[string][]string{
		"kernel/addresses":  {"ip", "-details", "-statistics", "address"},
		"kernel/routes":     {"ip", "route", "show", "table", "all"},
		"kernel/rules":      {"ip", "rule"},
		"kernel/neighbours": {"ip", "-statistics", "neighbour"},
		"kernel/nftables":   {"nft", "list", "ruleset"},
		"kernel/settings":   {"sysctl", "net.ipv4.conf", "net.ipv4.neigh"},
		"kernel/name":       {"uname", "-a"},
		"disk":              {"df", "-k", g.dirs.State},
		"units":             {"systemctl", "--no-pager", "list-units", "--all", "mxcluster*"},
		"journal":           {"journalctl", "--no-pager", "--output", "short-iso", "--since", "-24h", "--unit", "mxcluster*"},
	} {
		out, err := g.env.Tell(ctx, words)
		g.take(name, out, err)
	}
	slices.SortFunc(g.files, func(x, y bundle.File) int { return strings.Compare(x.Name, y.Name) })
	slices.Sort(g.missing)
}

// secrets are those that this server knows: none is to be in the bundle, in whatever encoding.
func (g *gathering) secrets() (all [][]byte) {
	files := []string{g.dirs.GossipKey()}
	if s, err := settings.Load(g.dirs, g.env.Environ); err == nil {
		files = append(files, s.Alarms.SNMP.CommunityFile, s.Alarms.SNMP.AuthFile, s.Alarms.SNMP.PrivFile, s.Arbiter.PasswordFile, s.Arbiter.Key)
	}
	files = append(files, filepath.Join(g.dirs.Management(), "passfile"))
	for _, pattern := range []string{filepath.Join(g.dirs.SSH(), "*"), filepath.Join(g.dirs.Config, "*.pass*")} {
		if found, err := filepath.Glob(pattern); err == nil {
			files = append(files, found...)
		}
	}
	for _, file := range files {
		base := filepath.Base(file)
		if file == "" || strings.HasSuffix(base, ".pub") || strings.HasPrefix(base, "known_hosts") || base == "config" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			continue // what cannot be read here is not in the bundle
		}
		if keys, err := settings.ParseKeys(data); err == nil {
			all = append(all, keys.Secrets()...)
		}
		all = append(all, data)
		for line := range bytes.Lines(data) {
			if fields := bytes.Fields(line); len(fields) > 0 && !bytes.HasPrefix(line, []byte("#")) && !bytes.HasPrefix(line, []byte("-----")) {
				all = append(all, fields[0], bytes.TrimSpace(line), passfilePassword(line))
			}
		}
	}
	return append(all, g.arguments()...)
}

// passfilePassword returns the password of a line of PostgreSQL's passfile, its last field; of
// another line what follows its last colon.
func passfilePassword(line []byte) []byte {
	unquoted := strings.NewReplacer(`\\`, `\`, `\:`, "\x00").Replace(string(bytes.TrimSpace(line)))
	return []byte(strings.ReplaceAll(unquoted[strings.LastIndexByte(unquoted, ':')+1:], "\x00", ":"))
}

// minArgument is the length from which an argument may be a password, in bytes.
const minArgument = 6

// arguments are those of commands that the settings name: passwords are among them now and then, and
// errors quote the commands.
func (g *gathering) arguments() (all [][]byte) {
	values, err := settings.Values(g.dirs, g.env.Environ)
	if err != nil {
		return nil
	}
	for _, v := range values {
		words := strings.Fields(v.Value)
		if !v.Command || len(words) < 2 || v.Origin == "default" {
			continue
		}
		for _, w := range words[1:] {
			w = strings.Trim(w, `"'`)
			if _, value, found := strings.Cut(w, "="); found && len(value) >= minArgument {
				all = append(all, []byte(value))
			}
			if len(w) >= minArgument && !strings.HasPrefix(w, "/") && !strings.ContainsAny(w, "{}") {
				all = append(all, []byte(w))
			}
		}
	}
	return all
}

// readme says what is in the bundle, and what is not.
func (g *gathering) readme() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Support bundle of mxcluster %s, made at %s.\n\nLeft out on purpose:\n", g.env.Version.Version, g.env.Now().UTC().Format(time.RFC3339))
	for _, what := range []string{
		"gossip.key, the keys and known hosts of syncs, password files, certificates",
		"data versions, and the software of LIMs",
		"arguments of settings that are commands",
		"variables of the environment, but for settings",
		"former revisions of the cluster document: their list is here",
		"what is a secret of this server, or looks like one: " + bundle.Gone + " stands in its place",
	} {
		b.WriteString("* " + what + "\n")
	}
	if len(g.missing) > 0 {
		b.WriteString("\nCould not be had:\n")
	}
	for _, what := range g.missing {
		b.WriteString("* " + what + "\n")
	}
	return []byte(b.String())
}
