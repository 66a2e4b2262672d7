package commands

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/clusterconf/clusterconftest"
	alarmpages "mxcluster/docs/reference/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/settings"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// contractCommands are the commands that scripts rely on, one a line, with their arguments and
// flags: --x takes a value, --x? takes none, --x= may. * marks those that change something, and
// take --dry-run and --reason; ** those whose change agents carry out, and that take --wait, too.
const contractCommands = `
init * --server --base --interface --lim --force?
join ADDR * --server --key-file
server list
server show SRV
server add SRV ** --base --interface --lim
server to-standby SRV **
server to-free SRV **
server remove SRV **
server set SRV ** --interface --base
server drain SRV ** --for
server undrain SRV **
server leave-behind SRV **
lim list
lim show N
lim set N ** --service --regular-only-service --media-server --media-address --control-address --gateway --rehearsable? --check
list [C]
status [C] --lim --watch= --check?
create C ** --standby --lim --fallback --failover-after --split-brain-stop --rehearse --fallback-window
change C ** --fallback --priority --failover-after --split-brain-stop --rehearse --fallback-window
preload C **
add-lim C N ** --base --priority
remove-lim C N **
delete C **
fallback N ** --now? --drain-calls=
failover N ** --now? --server-is-dead --drain-calls=
lock N ** --to --for --move?
unlock N **
sync [C] * --lim --all? --direction --bwlimit --keep
agent run
agent status
agent stop --release?
agent reload
explain N
simulate --down --up --cut
events --since --lim --follow? --timeline
alarms list
alarms notice H --comment
alarms clear H
alarms test
alarms explain NAME
check [C] --check?
config show --levels?
config edit
config validate
config history
config diff A [B]
config rollback REV
config schema [document|settings|COMMAND]
config export F --passphrase-file
config import F --passphrase-file
menu
version
completion bash|zsh|fish
freeze C ** --for
unfreeze C **
rehearse [C] --lim
upgrade check --downgrade?
sync setup-ssh SRV
key show
key rotate
support-bundle F.tar.gz
xdata backup * --lim --from --no-sync?
xdata list --lim
xdata verify --lim
xdata restore VERSION * --lim --to
xdata prune * --lim --keep
xdata remove VERSION * --lim
xdata serve
alias show
alias up N * --lease --no-probe?
alias down N *
alias block N *
alias unblock N *
arp announce ADDR * --interface --count
arp probe ADDR --interface
service start N *
service stop N *
service status N
manager discover
manager check
manager setup * --role --vip --replication-user --password-file --manager-password-file --synchronous
manager status
manager fallback
manager reconfigure *
manager reconfigure-fallback *
manager remove *
lab demo --manager?
lab up --lims --preloaded?
lab status
lab exec SRV -- CMD
lab fail SRV --how
lab heal SRV
lab down
`

// contractGlobals are the flags of every command.
const contractGlobals = "--config-dir --state-dir --run-dir --output -q? --quiet? -v? --verbose? --no-headers? --color -y? --yes? --no-input? --timeout -o"

func TestContractCommands(t *testing.T) {
	w := newWorld(t.TempDir())
	root := New(w.env(&bytes.Buffer{}, &bytes.Buffer{}))
	for line := range strings.Lines(contractCommands) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		c, rest, err := root.Find(words)
		if err != nil || c == root || !isNamed(c, words[:len(words)-len(rest)]) {
			t.Errorf("%q: there is no such command (%v)", words, err)
			continue
		}
		checkPromised(t, c, strings.Fields(contractGlobals))
		least, most := checkPromised(t, c, rest)
		if c.Name() == "completion" || c.Name() == "exec" {
			continue // these look at what their arguments say
		}
		for _, args := range [][]string{least, most} {
			if err := c.Args(c, args); err != nil {
				t.Errorf("%s does not take %d arguments: %v", c.CommandPath(), len(args), err)
			}
		}
	}
}

// isNamed reports whether words are the command's whole name.
func isNamed(c *cobra.Command, words []string) bool {
	return c.CommandPath() == "mxcluster "+strings.Join(words, " ")
}

// checkPromised holds a command against the flags that a line of the contract has behind its name,
// and returns the shortest and the longest list of arguments that it names.
func checkPromised(t *testing.T, c *cobra.Command, words []string) (least, most []string) {
	t.Helper()
	for _, word := range words {
		switch {
		case word == "*":
			checkPromised(t, c, []string{"-n?", "--dry-run?", "--reason"})
		case word == "**":
			checkPromised(t, c, []string{"*", "--wait="})
		case strings.HasPrefix(word, "-") && word != "--":
			checkFlag(t, c, word)
		case strings.HasPrefix(word, "["):
			most = append(most, "1")
		default:
			least, most = append(least, "1"), append(most, "1")
		}
	}
	return least, most
}

func checkFlag(t *testing.T, c *cobra.Command, word string) {
	t.Helper()
	name := strings.TrimLeft(strings.TrimRight(word, "?="), "-")
	var f *pflag.Flag
	for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.InheritedFlags()} {
		switch {
		case f != nil:
		case strings.HasPrefix(word, "--"):
			f = set.Lookup(name)
		default:
			f = set.ShorthandLookup(name)
		}
	}
	want := map[bool]string{true: "no value", false: "a value"}[strings.HasSuffix(word, "?")]
	if strings.HasSuffix(word, "=") {
		want = "perhaps a value"
	}
	switch {
	case f == nil:
		t.Errorf("%s has no flag %s", c.CommandPath(), word)
	case takes(f) != want:
		t.Errorf("%s: flag %s takes %s, not %s", c.CommandPath(), word, takes(f), want)
	}
}

// takes says what a flag is followed by.
func takes(f *pflag.Flag) string {
	switch {
	case f.Value.Type() == "bool":
		return "no value"
	case f.NoOptDefVal != "":
		return "perhaps a value"
	}
	return "a value"
}

// TestContractSettings holds the settings against the keys and defaults that scripts rely on.
func TestContractSettings(t *testing.T) {
	have := make(map[string]string)
	for _, s := range settings.Describe() {
		have[s.Name] = s.Default
	}
	for name, byDefault := range map[string]string{
		"server": "", "xdata_dir": "", "gossip.port": "7946", "alias.lease": "3s", "arp.refresh": "60s", "arp.budget": "15",
		"sync.rsh": "ssh -o BatchMode=yes {address}", "sync.remote_command": "mxcluster", "sync.login_limit": "60s", "sync.idle_limit": "60s",
		"services.restarts": "3", "xdata.still": "30s", "control.group": "", "manager.web_server": "", "metrics.listen": "", "alarms.exec": "",
		"alarms.snmp.targets": "",
	} {
		if got, there := have[name]; !there || got != byDefault {
			t.Errorf("setting %s: there %v, by default %q, want %q", name, there, got, byDefault)
		}
	}
}

// contractKeys are the keys of answers with -o json, by command. A list's keys stand behind its
// name.
const contractKeys = `
list: apiVersion kind revision hash clusters
list: clusters.name clusters.standby clusters.fallback clusters.failover clusters.failoverAfterMs clusters.splitBrainStop clusters.rehearse clusters.fallbackWindow
list: clusters.lims.lim clusters.lims.regular clusters.lims.base clusters.lims.alias clusters.lims.interface clusters.lims.priority
list: clusters.lims.lock.to clusters.lims.lock.since clusters.lims.lock.expires clusters.lims.lock.by clusters.lims.lock.reason
status: apiVersion kind generatedAt observer agent revision health redundant redundantWhy
status: clusters.name clusters.health clusters.splitBrain clusters.redundant clusters.redundantWhy clusters.frozen.since clusters.frozen.until clusters.frozen.by clusters.frozen.reason
status: clusters.lims.lim clusters.lims.activeOn clusters.lims.side clusters.lims.state clusters.lims.term clusters.lims.since clusters.lims.reason
status: clusters.lims.preload clusters.lims.lock clusters.lims.waiting clusters.lims.redundant clusters.lims.redundantWhy
status: clusters.lims.fallback.type clusters.lims.fallback.ready clusters.lims.fallback.blockedBy clusters.lims.fallback.heldForMs
status: clusters.lims.alias.address clusters.lims.alias.holders.server clusters.lims.alias.holders.present clusters.lims.alias.holders.blocked clusters.lims.alias.foreignMac clusters.lims.alias.lastAnnounced
status: clusters.lims.data.newest clusters.lims.data.newestOn clusters.lims.data.inSync clusters.lims.data.ageMs clusters.lims.data.conflict clusters.lims.data.damaged clusters.lims.data.nextSyncAt
status: clusters.lims.takeoverMs.detect clusters.lims.takeoverMs.start clusters.lims.takeoverMs.lease clusters.lims.remedy.what clusters.lims.remedy.command
status: clusters.lims.cause.what clusters.lims.cause.by clusters.lims.cause.reason clusters.lims.cause.at
status: clusters.lims.rehearsal.at clusters.lims.rehearsal.version clusters.lims.rehearsal.result clusters.lims.rehearsal.startMs clusters.lims.rehearsal.text
status: clusters.servers.name clusters.servers.role clusters.servers.reachable clusters.servers.silentMs clusters.servers.revision clusters.servers.clockOffsetMs
status: clusters.servers.address clusters.servers.version clusters.servers.levels clusters.servers.agent clusters.servers.ready clusters.servers.readyWhy
status: clusters.servers.drained.since clusters.servers.drained.until clusters.servers.drained.reason
status: clusters.alarms.handle clusters.alarms.name clusters.alarms.severity clusters.alarms.lim clusters.alarms.server clusters.alarms.expected clusters.alarms.noticed clusters.alarms.raisedAt clusters.alarms.text
xdata list: apiVersion kind versions.lim versions.name versions.newestMtime versions.files versions.bytes versions.complete versions.verified versions.madeAt versions.parent
sync: apiVersion kind results.lim results.version results.direction results.result results.bytes results.sentBytes results.tookMs results.error
error: error.code error.message error.hint
`

func TestContractKeys(t *testing.T) {
	w := newWorld(t.TempDir())
	for line := range strings.Lines(contractKeys) {
		command, keys, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !found {
			continue
		}
		s := printed(t, w, strings.Fields(command)...)
		for _, path := range strings.Fields(keys) {
			if !hasKey(s, strings.Split(path, ".")) {
				t.Errorf("%s -o json has no key %s", command, path)
			}
		}
	}
}

func hasKey(s *jsonschema.Schema, path []string) bool {
	for _, name := range path {
		for s != nil && s.Items != nil {
			s = s.Items
		}
		if s == nil || s.Properties[name] == nil {
			return false
		}
		s = s.Properties[name]
	}
	return true
}

// Monitoring knows alarms by their names.
func TestContractAlarms(t *testing.T) {
	for _, name := range strings.Fields(`lim-on-standby standby-out-of-order sync-failed alias-in-use split-brain flapping lock-left document-conflict clock-skew
		announce-failed lim-down prompts-missing key-rotation arbiter-unreachable arbiter-differs not-redundant document-unreadable document-behind address-twice
		address-proxied mac-used name-twice disk-full state-lost data-behind data-conflict data-damaged agent-stopped version-behind rehearsal-failed drain-left`) {
		if !slices.Contains(alarmpages.Names(), name) {
			t.Errorf("there is no page of an alarm %s", name)
		}
	}
}

// deed is a command line on clusterconftest.OneCluster and the exit code that scripts rely on.
type deed struct {
	code fault.Code
	args string
}

// What does not exist is exit code 4, with an agent or without one, in whatever place it is named.
func TestContractNotFound(t *testing.T) {
	for _, running := range []bool{false, true} {
		for _, args := range []string{
			"server show srv9", "server to-standby srv9", "server to-free srv9", "server remove srv9", "server set srv9 --interface eth1", "server drain srv9", "server undrain srv9", "server leave-behind srv9",
			"lim show 99", "lim set 99 --rehearsable", "list c9", "status c9", "status --lim 99", "change c9 --fallback manual", "preload c9", "add-lim c9 3 --base 10.0.0.26", "add-lim c1 99 --base 10.0.0.26",
			"remove-lim c9 1 --yes", "remove-lim c1 99 --yes", "delete c9 --yes", "fallback 99", "failover 99", "lock 99 --to regular", "unlock 99", "sync c9", "sync --lim 99",
			"explain 99", "simulate --down srv9", "simulate --up srv9", "simulate --cut srv1:srv9", "events --lim 99", "alarms explain nothing", "check c9", "config diff 98 99", "config rollback 99 --yes", "config schema nothing",
			"freeze c9", "unfreeze c9", "rehearse c9", "rehearse --lim 99", "sync setup-ssh srv9",
			"xdata backup --lim 99 --from /tmp", "xdata list --lim 99", "xdata verify --lim 99", "xdata restore --lim 99 xdata_99_20260301020000 --to /nonexistent/x", "xdata prune --lim 99", "xdata remove --lim 99 xdata_99_20260301020000 --yes",
			"alias up 99", "alias down 99", "alias block 99", "alias unblock 99", "service start 99", "service stop 99", "service status 99",
		} {
			t.Run(fmt.Sprintf("agent %v: %s", running, args), func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.OneCluster)
				w.agent.running, w.agent.alarms = running, &status.AlarmList{}
				w.agent.statuses = []*status.ClusterStatus{mixed()}
				here := agentInfo(7, 7)
				here.Edits = &control.EditPlace{Server: "srv1"}
				w.agent.infos = []*control.AgentInfo{here}
				w.agent.onOrder = func(o control.Order) error { return missingLIM(o.LIM) }
				a := w.run(t.Context(), strings.Fields(args)...)
				if a.code != fault.NotFound || a.out != "" {
					t.Errorf("code %d, want 4: %s%s", a.code, a.out, a.err)
				}
				saysWhatItWasDoing(t, a.err)
			})
		}
	}
}

// missingLIM refuses an order about a LIM that is not there, as agents do.
func missingLIM(lim int) error {
	if lim == 99 {
		return fault.New(fault.NotFound, "mxcluster lim list", "there is no LIM 99")
	}
	return nil
}

// saysWhatItWasDoing holds an error to the contract's form: what was being done, then what went
// wrong, and at most one line more.
func saysWhatItWasDoing(t *testing.T, said string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(said, "\n"), "\n")
	if len(lines) > 2 || !regexp.MustCompile(`^mxcluster: ([a-z]+ing\b.*: .|(fallback|failover) of .*: .|cannot )`).MatchString(lines[0]) {
		t.Errorf("the error does not say what was being done: %q", said)
	}
}

// Without an agent, and without a document, every command that needs one says so with the code for it.
func TestContractWhatIsMissing(t *testing.T) {
	for _, tc := range []struct {
		code     fault.Code
		document string
		lines    string
	}{
		{fault.Unreachable, clusterconftest.OneCluster, `
			fallback 1
			failover 1
			alarms list
			alarms notice 1
			alarms clear 1
			alarms test
			agent status
			agent reload
			rehearse c1
			upgrade check
			manager fallback
			key rotate`},
		{fault.Invalid, "", `
			list
			status
			server list
			server show srv1
			lim list
			lim show 1
			simulate --down srv1
			check
			sync
			create c1 --standby sb1 --lim 1=10.0.0.21
			change c1 --fallback manual
			lock 1 --to regular
			config show
			config history
			config edit
			alias show
			alias up 1
			service status 1
			xdata backup --lim 1 --from /tmp
			agent run
			freeze c1
			server drain srv1`},
		{fault.Invalid, strings.Replace(clusterconftest.OneCluster, "priority: 50", "priorty: 50", 1), `
			list
			status
			server list
			lim list
			lim show 1
			check
			config validate
			lock 1 --to regular
			alias show
			service status 1`},
	} {
		for line := range strings.Lines(tc.lines) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			t.Run(fmt.Sprintf("%d: %s", tc.code, strings.TrimSpace(line)), func(t *testing.T) {
				w := newWorld(t.TempDir())
				if tc.document != "" {
					w.document(t, tc.document)
				}
				a := w.run(t.Context(), strings.Fields(line)...)
				if a.code != tc.code {
					t.Errorf("code %d, want %d: %s", a.code, tc.code, a.err)
				}
				saysWhatItWasDoing(t, a.err)
			})
		}
	}
}

// The other codes and promises, each by a command line of its own.
func TestContractCodes(t *testing.T) {
	for _, d := range []deed{
		{fault.OK, "unlock 1 -q"},
		{fault.OK, "alias block 1"},
		{fault.OK, "alias unblock 1"},
		{fault.OK, "arp announce 10.0.0.21 --interface eth0 -n"},
		{fault.Refused, "arp announce 10.0.0.77 --interface eth0 -n"},
		{fault.OK, "arp probe 10.0.0.77 --interface eth0"},
		{fault.Refused, "arp probe 10.0.0.50 --interface eth0"},
		{fault.Refused, "alias up 2"},
		{fault.Refused, "server remove srv2"},
		{fault.Usage, "list --output table --output json"},
		{fault.Usage, "lock 1 --to regular --to standby"},
		{fault.Usage, "delete c1 --no-input"},
		{fault.Usage, "--no-such-flag"},
		{fault.Usage, "status --check --watch"},
	} {
		t.Run(d.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			if err := addAddresses(w.kernel, "eth0", "10.0.0.21/24"); err != nil {
				t.Fatal(err)
			}
			if err := w.station([]byte{2, 0, 0, 0, 0, 9}, "10.0.0.50/24"); err != nil {
				t.Fatal(err)
			}
			if a := w.run(t.Context(), strings.Fields(d.args)...); a.code != d.code {
				t.Errorf("code %d, want %d: %s%s", a.code, d.code, a.out, a.err)
			}
		})
	}
}

// An unknown setting names its line and the nearest known one, at every depth.
func TestContractNearestSetting(t *testing.T) {
	for text, want := range map[string]string{
		"sever: srv1\n": "did you mean server?", "xdata_dri: /x\n": "did you mean xdata_dir?", "alias:\n  leese: 3s\n": "did you mean alias.lease?",
	} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		if err := os.WriteFile(w.path("etc/mxcluster.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{"status", "config validate"} {
			a := w.run(t.Context(), strings.Fields(args)...)
			if a.code != fault.Invalid || !strings.Contains(a.err, "mxcluster.yaml:") || !strings.Contains(a.err, want) {
				t.Errorf("%q, %s: code %d, %q", text, args, a.code, a.err)
			}
			saysWhatItWasDoing(t, a.err[strings.LastIndex(a.err, "mxcluster: "):]) // validate says before that the document is valid
		}
	}
}

// The form of an answer: flag, then environment, then the default; data and errors go to streams of their own.
func TestContractOutput(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["MXCLUSTER_OUTPUT"] = "json"
	if a := w.must(t, "list"); !strings.HasPrefix(a.out, "{") {
		t.Errorf("by the environment: %s", a.out)
	}
	for _, format := range strings.Fields("table wide json yaml csv name") {
		if a := w.must(t, "list", "-o", format); a.out == "" || a.err != "" || strings.HasPrefix(a.out, "{") != (format == string(ui.JSON)) {
			t.Errorf("-o %s: %q, %q", format, a.out, a.err)
		}
	}
	if a := w.run(t.Context(), "list", "c9"); a.out != "" || !strings.HasPrefix(a.err, `{"error":{"code":4,"message":"`) || !strings.Contains(a.err, `"hint":"`) {
		t.Errorf("an error: %q, %q", a.out, a.err)
	}
}
