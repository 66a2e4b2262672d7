package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns/netnstest"
)

// bad is one wrong command line. It must end with the code, one line that says
// what is wrong, and one with the remedy, and leave every file as it was.
type bad struct {
	args string
	code fault.Code
	err  string // pattern of the first line, after "mxcluster: "
	hint string // pattern of the second
}

func TestBadUsage(t *testing.T) {
	for _, tc := range []bad{
		{"", 64, `^a command is missing$`, `'mxcluster --help' lists`},
		{"craete c1", 64, `^unknown command "craete" for mxcluster$`, `did you mean 'mxcluster create'`},
		{"xyzzy", 64, `^unknown command "xyzzy"`, `--help`},
		{"server", 64, `^server: a command is missing$`, `use one of add, drain, leave-behind, list, remove, set, show, to-free, to-standby, undrain`},
		{"server lsit", 64, `^unknown command "lsit" for mxcluster server$`, `did you mean 'mxcluster server list'`},
		{"lim", 64, `a command is missing`, `list, set, show`},
		{"agent", 64, `a command is missing`, `run, status, stop`},
		{"alias", 64, `a command is missing`, `block, deny, down, show, unblock, up`},
		{"arp", 64, `a command is missing`, `announce, probe`},
		{"xdata", 64, `a command is missing`, `backup, list, prune, remove, restore, serve, verify`},
		{"sync --bwlimit fast", 64, `^--bwlimit: bad rate "fast"$`, `500k, 10M or 100Mbit`},
		{"sync --all --here", 64, `--all and --here exclude`, `one of them`},
		{"sync --wait=-1s", 64, `--wait: -1s is less than nothing`, `duration`},
		{"sync --bwlimit 0", 64, `bad rate "0"`, `10M`},
		{"sync --bwlimit -5M", 64, `bad rate "-5M"`, `10M`},
		{"sync --direction up", 64, `--direction: bad value "up"`, `auto, to-standby or to-regular`},
		{"sync --lim one", 64, `--lim: bad value "one"`, ``},
		{"help xyzzy", 64, `unknown command "xyzzy"`, `--help`},
		{"help server lsit", 64, `unknown command "lsit" for mxcluster server`, `did you mean`},
		{"completion", 64, `argument bash\|zsh\|fish is missing`, `^usage: `},
		{"completion bahs", 64, `no completion for shell "bahs"`, `did you mean bash`},
		{"list --no-header", 64, `^list: unknown flag --no-header$`, `did you mean --no-headers`},
		{"--bogus", 64, `^unknown flag --bogus$`, `'mxcluster --help' lists the flags`},
		{"--timeout", 64, `^flag --timeout needs a value$`, `.`},
		{"--timeout x status", 64, `--timeout: bad value "x"$`, `such as 300ms`},
		{"---x", 64, `^bad flag syntax: ---x$`, `^usage: `},
		{"list -Z", 64, `unknown flag -Z`, `--help`},
		{"list a b", 64, `unexpected argument "b"`, `^usage: mxcluster list \[C\]`},
		{"list -o jsn", 64, `unknown output format "jsn"`, `use one of table, wide, json, yaml, csv, name`},
		{"list --color blue", 64, `--color: bad value "blue"`, `auto, always or never`},
		{"list --timeout soon", 64, `--timeout: bad value "soon"`, `300ms, 10s or 5m`},
		{"list --timeout -1s", 64, `--timeout: -1s is less than nothing`, `duration`},
		{"list --output", 64, `flag -o, --output needs a value`, `^usage: `},
		{"create", 64, `argument C is missing`, `^usage: mxcluster create C`},
		{"create c1", 64, `creating cluster c1: --standby is missing`, `give --standby`},
		{"create c1 --standby sb1", 64, `--lim is missing`, `give --lim`},
		{"create c1 --standby sb1 --lim 1", 64, `no new base address in "1"`, `N=NEWBASE`},
		{"create c1 --standby sb1 --lim x=10.0.0.21", 64, `--lim x=10.0.0.21: "x" is not a LIM number`, `N=NEWBASE`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21,prio=4", 64, `unknown option "prio=4"`, `priority=P`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21,priority=high", 64, `"high" is not a priority`, `lower value`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --wait=x", 64, `--wait: bad value "x"`, `duration`},
		{"fallback", 64, `argument N is missing`, `^usage: `},
		{"fallback one", 64, `"one" is not a LIM number`, `lim list`},
		{"failover 0", 64, `"0" is not a LIM number`, ``},
		{"init", 64, `--server is missing`, `give --server`},
		{"init --server s", 64, `--base is missing`, `give --base`},
		{"init --server s --base 10.0.0.1/24", 64, `--interface is missing`, `give --interface`},
		{"server add", 64, `argument SRV is missing`, ``},
		{"server add srv9", 64, `adding server srv9: --base is missing`, `give --base`},
		{"server add srv9 --base 10.0.0.9/24 --interface eth0 --lim x", 64, `--lim: bad value "x"`, `whole number`},
		{"server to-standby", 64, `argument SRV is missing`, ``},
		{"server show", 64, `argument SRV is missing`, ``},
		{"lim set 1", 64, `nothing to set`, `give --service`},
		{"lim set one --service exec:/x", 64, `"one" is not a LIM number`, ``},
		{"lim show 1000", 64, `"1000" is not a LIM number`, ``},
		{"alias up", 64, `argument N is missing`, ``},
		{"alias up 1 --lease 1500ms", 64, `1.5s is not a number of seconds`, `whole seconds`},
		{"arp probe", 64, `argument ADDR is missing`, ``},
		{"arp probe 10.0.0.300 --interface eth0", 64, `"10.0.0.300" is not an address`, `e.g. 10.0.0.11 or 2001:db8::11`},
		{"arp probe 10.0.0.3", 64, `--interface is missing`, ``},
		{"arp announce 0.0.0.0 --interface eth0", 64, `is not an address`, ``},
		{"arp announce 10.0.0.1 --interface eth0 --count 0", 64, `cannot announce 0 times`, `1 or more`},
		{"sync --direction up", 64, `--direction: bad value "up"`, `auto, to-standby or to-regular`},
		{"sync --lim x", 64, `--lim: bad value "x"`, ``},
		{"xdata backup --lim 1", 64, `--from is missing`, `give --from`},
		{"xdata backup --from /tmp", 64, `--lim is missing`, `give --lim`},
		{"join", 64, `argument ADDR is missing`, ``},
		{"join here", 64, `joining the system at here: "here" is not an address`, `base address`},
		{"join 10.0.0.11", 64, `there is no key here`, `give --key-file`},
		{"version now", 64, `unexpected argument "now"`, ``},
	} {
		checkBad(t, tc, clusterconftest.OneCluster)
	}
}

// What is well-formed, but breaks a rule of the system.
func TestBadForDocument(t *testing.T) {
	long := strings.Repeat("x", 128) // one more than the kernel takes
	var eleven strings.Builder
	for i := range 11 {
		fmt.Fprintf(&eleven, " --lim %d=10.0.0.%d", i+1, 101+i)
	}
	for _, tc := range []bad{
		{"server add srv1 --base 10.0.0.99/24 --interface eth0", 3, `^cannot add server srv1: there is one of that name`, `choose another name`},
		{"server add srv_9! --base 10.0.0.99/24 --interface eth0", 64, `server name "srv_9!" is not valid`, `.`},
		{"server add srv9 --base 10.0.0.999/24 --interface eth0", 64, `"10.0.0.999/24" is not an address`, `A.B.C.D`},
		{"server add srv9 --base 10.0.0.99 --interface eth0", 64, `has no prefix length`, `10.0.0.99/24`},
		{"server add srv9 --base 10.0.0.255/24 --interface eth0", 64, `10.0.0.255/24`, `address of a host`},
		{"server add srv9 --base 10.0.0.12/24 --interface eth0", 3, `10.0.0.12 is the base of srv2`, `address of its own`},
		{"server add srv9 --base 10.0.0.99/24 --interface " + long, 64, `is not an interface name`, `e.g. eth0`},
		{"server add srv9 --base 10.0.0.99/24 --interface a/b", 64, `"a/b" is not an interface name`, ``},
		{"server add srv9 --base 10.0.0.99/24 --interface eth0 --lim 1", 3, `LIM 1 is on srv1`, `another LIM`},
		{"server add srv9 --base 10.0.0.99/24 --interface eth0 --lim 5000", 64, `--lim: 5000 is not a LIM number`, `from 1 to 999`},
		{"server to-standby srv9", 4, `^making srv9 a standby server: there is no server "srv9"`, `did you mean srv1`},
		{"server to-standby srv1", 3, `^cannot make srv1 a standby: it is the regular server of LIM 1`, `take a free server`},
		{"lim set 9 --service exec:/opt/lim", 4, `there is no LIM 9`, `the system has LIM 1, 2`},
		{"lim set 1 --service run:/opt/lim", 64, `setting LIM 1: "run:/opt/lim" is not a service`, `exec:/PATH`},
		{"create c1 --standby nobody --lim 1=10.0.0.21", 4, `there is no server "nobody"`, `server list`},
		{"create c1 --standby free1 --lim 1=10.0.0.21", 3, `free1 is not a standby server yet`, `to-standby free1`},
		{"create c1 --standby srv2 --lim 1=10.0.0.21", 3, `srv2 is the regular server of LIM 2`, `name a standby`},
		{"create c1 --standby sb1 --standby free1 --lim 1=10.0.0.21", 64, `--standby is given twice`, `usage: `},
		{"create c/1 --standby sb1 --lim 1=10.0.0.21", 64, `cluster name "c/1" is not valid`, `.`},
		{"create c1 --standby sb1 --lim 7=10.0.0.21", 4, `there is no LIM 7`, `the system has LIM 1, 2`},
		{"create c1 --standby sb1 --lim 1=10.0.0.12", 3, `10.0.0.12 is the base of srv2`, `nothing else has`},
		{"create c1 --standby sb1 --lim 1=10.0.0.11", 3, `is the base of srv1 already`, `new address`},
		{"create c1 --standby sb1 --lim 1=10.0.1.21", 3, `^cannot create cluster c1: the new base 10.0.1.21/24 of srv1 is not in the subnet`, `10.0.0.0/24`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --lim 2=10.0.0.21", 3, `10.0.0.21 is the new base for LIM 1 and for LIM 2`, `address of its own`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --lim 1=10.0.0.22", 64, `LIM 1 is given twice`, `once`},
		{"create c1 --standby sb1 --lim 1=here", 64, `"here" is not an address`, `A.B.C.D`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --fallback auto", 64, `"auto" is not a fallback type`, `manual or automatic`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --split-brain-stop both", 64, `"both" is not a side`, `regular or standby`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --failover-after 10ms", 64, `10ms is too early`, `100ms or more`},
		{"create c1 --standby sb1" + eleven.String(), 3, `of 11 LIMs: a cluster can have 10`, `another cluster`},
		{"create c1 --standby sb1 --lim 1=10.0.0.21 --wait", 5, `no agent runs here that could be waited for`, `leave out --wait`},
		{"xdata backup --lim 9 --from /tmp", 4, `there is no LIM 9`, `lim list`},
		{"xdata backup --lim 1 --from /nonexistent", 4, `no such folder`, `folder that holds the data`},
		{"alias up 1", 4, `LIM 1 is in no cluster`, `mxcluster list`},
		{"list nothing", 4, `there is no cluster "nothing"`, `mxcluster list`},
		{"sync nothing", 4, `there is no cluster "nothing"`, `mxcluster list`},
		{"sync --lim 1", 4, `no cluster has a LIM 1`, `mxcluster list`},
		{"init --server srv9 --base 10.0.0.9/24 --interface eth0", 3, `holds another system`, `other folders`},
		{"xdata list --lim 9", 4, `listing versions: there is no LIM 9`, `lim list`},
		{"fallback 9", 4, `fallback of LIM 9: there is no LIM 9`, `lim list`},
		{"failover 9", 4, `failover of LIM 9: there is no LIM 9`, `lim list`},
		{"explain 9", 4, `explaining: there is no LIM 9`, `lim list`},
		{"arp announce 10.0.0.77 --interface eth0 -n", 3, `eth0 does not have it`, `alias up N`},
	} {
		checkBad(t, tc, clusterconftest.TwoLIMs)
	}
}

func TestBadForCluster(t *testing.T) {
	for _, tc := range []bad{
		{"create c2 --standby sb1 --lim 3=10.0.0.26", 3, `sb1 is the standby of cluster c1`, `standby of its own`},
		{"create c2 --standby sb2 --lim 1=10.0.0.26", 3, `LIM 1 is in cluster c1`, `one cluster only`},
		{"create c1 --standby sb2 --lim 1=10.0.0.21 --lim 2=10.0.0.22,priority=50", 3, `cluster c1 exists and differs: its standby is sb1`, `mxcluster change c1`},
		{"create c2 --standby sb2 --lim 3=10.0.0.11", 3, `10.0.0.11 is the alias of LIM 1`, `nothing else has`},
		{"server add srv9 --base 10.0.0.11/24 --interface eth0", 3, `10.0.0.11 is the alias of LIM 1`, `address of its own`},
		{"alias up 3", 4, `LIM 3 is in no cluster`, ``},
		{"alias up 2", 3, `srv1 is neither the regular server nor the standby of LIM 2`, `run it on srv2 or sb1`},
		{"alias down 2", 3, `neither`, `srv2 or sb1`},
		{"status c9", 4, `there is no cluster "c9"`, `.`},
		{"lim show 9", 4, `there is no LIM 9`, `lim list`},
		{"sync c1 --lim 3", 4, `no cluster c1 has a LIM 3`, ``},
	} {
		checkBad(t, tc, clusterconftest.OneCluster)
	}
}

// The actions on clusters, LIMs and the document as a whole.
func TestBadActions(t *testing.T) {
	for _, tc := range []bad{
		{"change", 64, `argument C is missing`, `^usage: mxcluster change C`},
		{"change c1", 64, `changing cluster c1: nothing is to be changed of cluster c1`, `give --fallback`},
		{"change c9 --fallback manual", 4, `there is no cluster "c9"`, `did you mean c1`},
		{"change c1 --fallback auto", 64, `"auto" is not a fallback type`, `manual or automatic`},
		{"change c1 --split-brain-stop both", 64, `"both" is not a side`, `regular or standby`},
		{"change c1 --failover-after 10ms", 64, `10ms is too early`, `100ms or more`},
		{"change c1 --failover-after -1s", 64, `-1s is too early`, ``},
		{"change c1 --priority 1", 64, `changing cluster c1: --priority: no priority in "1"`, `write --priority N=P`},
		{"change c1 --priority x=1", 64, `--priority x=1: "x" is not a LIM number`, `N=P`},
		{"change c1 --priority 1=high", 64, `--priority: "high" is not a priority`, `lower value`},
		{"change c1 --priority 1=-1", 64, `--priority: "-1" is not a priority`, `0 or more`},
		{"change c1 --priority 1=1 --priority 1=2", 64, `--priority: LIM 1 is given twice`, `once`},
		{"change c1 --priority 3=1", 3, `^cannot change the priority of LIM 3 in cluster c1: it is in no cluster$`, `cluster c1 has LIM 1, 2`},
		{"change c1 --priority 9=1", 4, `there is no LIM 9`, `the system has LIM`},
		{"change c1 --standby sb2", 64, `unknown flag --standby`, `--help`},
		{"preload", 64, `argument C is missing`, `usage`},
		{"preload c2", 4, `there is no cluster "c2"`, `did you mean c1`},
		{"preload c1", 3, `^cannot preload cluster c1: it has 2 LIMs`, `clusters of their own`},
		{"add-lim c1", 64, `argument N is missing`, `^usage: mxcluster add-lim C N`},
		{"add-lim c1 3", 64, `adding LIM 3 to cluster c1: --base is missing`, `give --base`},
		{"add-lim c1 three --base 10.0.0.26", 64, `"three" is not a LIM number`, `lim list`},
		{"add-lim c1 3 --base 10.0.0.26 --priority -1", 64, `the priority of LIM 3 is -1`, `0 or more`},
		{"add-lim c2 3 --base 10.0.0.26", 4, `there is no cluster "c2"`, `did you mean c1`},
		{"add-lim c1 9 --base 10.0.0.26", 4, `there is no LIM 9`, ``},
		{"add-lim c1 3 --base 10.0.0.11", 3, `10.0.0.11 is the alias of LIM 1`, `nothing else has`},
		{"add-lim c1 3 --base 10.0.1.26", 3, `is not in the subnet`, `10.0.0.0/24`},
		{"add-lim c1 2 --base 10.0.0.29", 3, `LIM 2 is in cluster c1 and differs: the base of srv2 is 10.0.0.22/24`, `remove the LIM first`},
		{"remove-lim c1", 64, `argument N is missing`, `usage`},
		{"remove-lim c1 2", 64, `removing LIM 2 from cluster c1: --yes is missing`, `give --yes`},
		{"remove-lim c2 2 --yes", 4, `there is no cluster "c2"`, `did you mean c1`},
		{"remove-lim c1 9 --yes", 4, `there is no LIM 9`, ``},
		{"delete", 64, `argument C is missing`, `usage`},
		{"delete c1", 64, `deleting cluster c1: --yes is missing`, `give --yes`},
		{"delete c2 --yes", 4, `there is no cluster "c2"`, `did you mean c1`},
		{"lock 1", 64, `locking LIM 1: --to is missing`, `give --to`},
		{"lock x --to regular", 64, `"x" is not a LIM number`, ``},
		{"lock 1 --to srv1", 64, `"srv1" is not a side to lock LIM 1 to`, `regular or standby`},
		{"lock 1 --to regular --for 0s", 64, `the lock of LIM 1 would end at .*, before it begins`, `--for 2h`},
		{"lock 1 --to regular --for ever", 64, `--for: bad value "ever"`, `duration`},
		{"lock 3 --to regular", 3, `^cannot lock LIM 3: it is in no cluster`, `mxcluster list`},
		{"lock 9 --to regular", 4, `there is no LIM 9`, ``},
		{"unlock", 64, `argument N is missing`, `usage`},
		{"unlock 9", 4, `unlocking LIM 9: there is no LIM 9`, ``},
		{"server to-free srv9", 4, `there is no server "srv9"`, `did you mean srv1`},
		{"server to-free sb1", 3, `^cannot make sb1 a free server: it is the standby of cluster c1`, `mxcluster delete c1`},
		{"server to-free srv1", 3, `^cannot make srv1 a free server: it is the regular server of LIM 1`, `name a standby`},
		{"server remove srv9", 4, `there is no server "srv9"`, `did you mean srv1`},
		{"server remove sb1", 3, `^cannot remove server sb1: it is the standby of cluster c1`, `mxcluster delete c1`},
		{"server remove srv2", 3, `^cannot remove server srv2: it is the regular server of LIM 2 in cluster c1`, `mxcluster remove-lim c1 2`},
		{"lim set 1 --media-server here", 64, `"here" is not a kind of media server`, `none, colocated or standalone`},
		{"lim set 1 --media-server standalone", 64, `has no media address`, `--media-address and --control-address`},
		{"lim set 1 --media-server none --media-address 10.0.0.5", 64, `can have no media server and addresses of one`, `leave out`},
		{"lim set 1 --media-server colocated --media-address 10.0.0.5", 3, `its media address must be the LIM's alias, 10.0.0.11, not 10.0.0.5`, `leave the addresses out`},
		{"lim set 1 --media-server standalone --media-address here --control-address 10.0.0.5", 64, `--media-address: "here" is not an address`, `A.B.C.D`},
		{"lim set 1 --media-server standalone --media-address 10.0.0.12 --control-address 10.0.0.5", 3, `its media address 10.0.0.12 is`, `own machine`},
		{"lim set 1 --control-address 10.0.0.5", 64, `an address of a media server without its kind`, `--media-server`},
		{"lim set 1 --gateway a/b", 64, `gateway identity "a/b" is not valid`, ``},
		{"lim set 1 --gateway a --gateway a", 64, `gateway a is given twice`, `once`},
		{"lim set 9 --gateway a", 4, `there is no LIM 9`, ``},
		{"config", 64, `a command is missing`, `diff, edit, export, history, import, rollback, schema, show, validate`},
		{"config hsitory", 64, `unknown command "hsitory"`, `did you mean 'mxcluster config history'`},
		{"config show -o name", 64, `has no form as name`, `yaml or json`},
		{"config validate /nonexistent", 4, `no such file`, `standard input`},
		{"config diff", 64, `argument A is missing`, `usage`},
		{"config diff 0", 64, `"0" is not a revision`, `config history`},
		{"config diff 6 99", 4, `there is no document of revision 99`, `config history`},
		{"config rollback -1", 64, `unknown flag -1`, ``},
		{"config rollback x", 64, `"x" is not a revision`, `config history`},
		{"config rollback 5 --yes", 4, `going back to revision 5: there is no document of revision 5`, `config history`},
		{"config edit", 64, `editing the cluster document: there is no terminal for an editor`, `EDITOR`},
	} {
		checkBad(t, tc, clusterconftest.OneCluster)
	}
}

// The server that all of it runs on stays in the document.
func TestRemoveItself(t *testing.T) {
	checkBad(t, bad{"server remove srv1", 3, `^cannot remove server srv1: this is it$`, `on another server`}, clusterconftest.TwoLIMs)
}

// Without a document everything but init and join says how to get one.
func TestBadWithoutDocument(t *testing.T) {
	for _, args := range []string{
		"list", "status", "server list", "server show srv1", "lim list", "server add srv9 --base 10.0.0.9/24 --interface eth0",
		"server to-standby sb1", "create c1 --standby sb1 --lim 1=10.0.0.21", "lim set 1 --service exec:/x", "alias show", "alias up 1",
		"sync", "xdata backup --lim 1 --from /tmp", "xdata serve",
		"change c1 --fallback manual", "preload c1", "add-lim c1 3 --base 10.0.0.26", "remove-lim c1 1 --yes", "delete c1 --yes",
		"lock 1 --to regular", "unlock 1", "server to-free sb1", "server remove sb1", "config show", "config edit", "config validate",
		"config history",
	} {
		checkBad(t, bad{args, 78, `no cluster document`, `mxcluster init makes a new system`}, "")
	}
}

// A new system is not made on an interface that is not there, unless it is to come.
func TestInitOnAMissingInterface(t *testing.T) {
	const line = "init --server srv1 --base 10.0.0.11/24 --interface nope --lim 1"
	checkBad(t, bad{line, 3, `making a new system: server srv1: no interface "nope"`, `--force`}, "")
	w := newWorld(t.TempDir())
	if a := w.must(t, append(strings.Fields(line), "--force", "-q")...); !strings.Contains(a.err, `warning: server srv1: no interface "nope"`) {
		t.Errorf("with --force: %s", a.err)
	}
}

// Settings that every other command refuses are found by `config validate`, too.
func TestValidateFindsBadSettings(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	file := filepath.Join(w.dir, "etc", "mxcluster.yaml")
	if err := os.WriteFile(file, []byte("server: srv1\nsever: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := w.run(t.Context(), "config", "validate")
	if a.code != fault.Invalid || !strings.Contains(a.err, "mxcluster.yaml:2: unknown setting sever") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	if b := w.run(t.Context(), "status"); b.code != a.code || !strings.Contains(a.err, b.err) {
		t.Errorf("status says %q, config validate %q", b.err, a.err)
	}
}

// A document that a person has broken is edited further by `config edit` alone.
func TestBadDocument(t *testing.T) {
	broken := strings.Replace(clusterconftest.OneCluster, "standby: sb1", "standby: sb3", 1)
	for _, args := range []string{"list", "status", "create c2 --standby sb2 --lim 3=10.0.0.26", "lim set 1 --service exec:/x",
		"change c1 --fallback manual", "delete c1 --yes", "lock 1 --to regular", "server remove free1"} {
		checkBad(t, bad{args, 78, `cluster.yaml:\d+`, `.`}, broken)
	}
}

func checkBad(t *testing.T, tc bad, document string) {
	t.Helper()
	t.Run(tc.args, func(t *testing.T) {
		w := newWorld(t.TempDir())
		if document != "" {
			w.document(t, document)
		}
		if err := addAddresses(w.kernel, "eth0", "10.0.0.11/24", "10.0.0.21/24"); err != nil {
			t.Fatal(err)
		}
		tc.check(t, w)
	})
}

func (tc bad) check(t *testing.T, w *world) {
	t.Helper()
	before, err := w.fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	kernel := w.addresses(t)
	a := w.run(context.Background(), strings.Fields(tc.args)...)
	if a.code != tc.code {
		t.Errorf("code %d, want %d", a.code, tc.code)
	}
	if a.out != "" {
		t.Errorf("standard output: %q", a.out)
	}
	lines := strings.Split(strings.TrimSuffix(a.err, "\n"), "\n")
	message, named := strings.CutPrefix(lines[0], "mxcluster: ")
	if !named || !regexp.MustCompile(tc.err).MatchString(message) {
		t.Errorf("message %q does not match %q", lines[0], tc.err)
	}
	if len(lines) != 2 || !regexp.MustCompile(tc.hint).MatchString(lines[1]) {
		t.Errorf("remedy %q does not match %q", lines[1:], tc.hint)
	}
	if after, err := w.fingerprint(); err != nil || after != before {
		t.Errorf("something was written (%v)", err)
	}
	if got := w.addresses(t); got != kernel {
		t.Errorf("addresses were %s, are %s", kernel, got)
	}
}

func TestBadKey(t *testing.T) {
	const good = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		bad
	}{
		{"missing", "", 0, bad{"agent run", 78, `starting the agent: there is no gossip key`, `mxcluster join`}},
		{"world-readable", good, 0o644, bad{"agent run", 77, `has mode 0644, others may use it`, `chmod 600`}},
		{"group-readable", good, 0o640, bad{"agent run", 77, `has mode 0640`, `chmod 600`}},
		{"short", "AAAA\n", 0o600, bad{"agent run", 78, `has 3 bytes instead of 32`, `.`}},
		{"no base64", "hello there\n", 0o600, bad{"agent run", 78, `not base64`, `.`}},
		{"join world-readable", good, 0o644, bad{"join 10.0.0.11", 77, `joining the system at 10.0.0.11: gossip key .* has mode 0644`, `chmod 600`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			if tc.mode != 0 {
				if err := os.WriteFile(w.path("etc/gossip.key"), []byte(tc.content), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(w.path("etc/gossip.key"), tc.mode); err != nil {
					t.Fatal(err)
				}
			}
			tc.check(t, w)
		})
	}
}

func TestBadSettings(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	if err := os.WriteFile(w.path("etc/mxcluster.yaml"), []byte("server: srv1\nxdata_dri: /x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad{"list", 78, `mxcluster.yaml:2: unknown setting xdata_dri`, `did you mean xdata_dir`}.check(t, w)
}

// A user without rights is told so, and nothing is half done.
func TestNotPermitted(t *testing.T) {
	if !netnstest.AsNobody(t) {
		return
	}
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	for _, dir := range []string{w.path("etc"), w.dir} {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	}
	for _, args := range []string{
		"lim set 1 --service exec:/opt/other", "server add srv9 --base 10.0.0.9/24 --interface eth0", "server to-standby free1",
		"create c2 --standby sb2 --lim 3=10.0.0.26", "change c1 --fallback automatic", "remove-lim c1 2 --yes", "lock 1 --to regular",
		"server remove free1",
	} {
		t.Run(args, func(t *testing.T) {
			bad{args, 77, `permission denied`, `root`}.check(t, w)
		})
	}
	t.Run("init", func(t *testing.T) {
		w.environ["MXCLUSTER_CONFIG_DIR"] = w.path("other")
		bad{"init --server srv9 --base 10.0.0.9/24 --interface eth0", 77, `permission denied`, `root`}.check(t, w)
	})
}
