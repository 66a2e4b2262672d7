package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestParseSSHCommand(t *testing.T) {
	for _, text := range []string{"mxcluster xdata serve", "sudo /usr/bin/mxcluster xdata serve", "env A=/b_c mxcluster  xdata  serve"} {
		if c, err := parseSSHCommand(text); err != nil || !c.serve {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	if c, err := parseSSHCommand("mxcluster manager facts"); err != nil || !c.facts {
		t.Errorf("%+v, %v", c, err)
	}
	c, err := parseSSHCommand("mxcluster sync c1 --direction to-standby --output json --no-input --lim 1 --lim 12 --dry-run --wait=1m0s --bwlimit 100000b")
	if err != nil || c.serve || c.cluster != "c1" || len(c.sync.lims) != 2 || c.sync.lims[1] != 12 || !c.sync.dryRun ||
		c.sync.wait != time.Minute || c.sync.direction != "to-standby" || c.sync.bwlimit != "100000b" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{
		"", "xdata serve", "sync c1", "mxcluster", "mxcluster xdata", "mxcluster xdata serve x", "mxcluster xdata list", "mxcluster sync",
		"mxcluster sync --lim 1", "mxcluster sync c1 --lim", "mxcluster sync c1 --lim x", "mxcluster sync c1 --lim 0", "mxcluster sync c1 --lim --dry-run",
		"mxcluster sync c1 c2", "mxcluster sync c1 --wait=x", "mxcluster sync c1 --wait=9999h", "mxcluster sync c1 --bwlimit 1b", "mxcluster sync c1 --bwlimit x", "mxcluster sync c1 --wait", "mxcluster sync c1 --output yaml", "mxcluster sync c1 --state-dir /x", "mxcluster sync c1 --all", "mxcluster sync setup-ssh x",
		"mxcluster manager", "manager facts", "mxcluster manager facts x", "mxcluster manager status", "mxcluster manager facts --config-dir /x",
		"mxcluster xdata serve;id", "mxcluster xdata serve\nid", "a `id` xdata serve", "a $x xdata serve", "a 'b' xdata serve", "a \\ xdata serve",
		"mxcluster \x00 xdata serve", strings.Repeat("a ", maxSSHCommand) + "xdata serve", "mxcluster xdata sérve",
	} {
		if c, err := parseSSHCommand(text); fault.CodeOf(err) != fault.NotPermitted {
			t.Errorf("%.80q: %+v, %v", text, c, err)
		}
	}
}

// However it is called, the key's command runs what was asked for and no more.
func FuzzParseSSHCommand(f *testing.F) {
	f.Add("mxcluster xdata serve")
	f.Add("mxcluster manager facts")
	f.Add("mxcluster sync c1 --direction auto --output json --no-input --lim 1")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseSSHCommand(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(text, ";&|<>$`'\"\\\n\t(){}*?[]!#~\x00") {
			t.Errorf("%q was taken", text)
		}
		if !c.serve && !c.facts && (c.cluster == "" || c.cluster[0] == '-') {
			t.Errorf("%q: cluster %q", text, c.cluster)
		}
	})
}

func TestSSHCommandRefuses(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["SSH_ORIGINAL_COMMAND"] = "id"
	a := w.run(t.Context(), "sync", "ssh-command")
	if a.code != fault.NotPermitted || !strings.Contains(a.err, "this is not what a sync asks for") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

func TestSetupSSHRefusals(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	for args, want := range map[string]fault.Code{
		"sync setup-ssh":                    fault.Usage,
		"sync setup-ssh srv1":               fault.Usage,
		"sync setup-ssh srv9":               fault.NotFound,
		"sync setup-ssh sb1 --port 99999":   fault.Usage,
		"sync accept-key --from srv9":       fault.NotFound,
		"sync setup-ssh sb1 --dry-run":      fault.OK,
		"sync setup-ssh sb1 sb2 --dry-run ": fault.Usage,
	} {
		if a := w.run(t.Context(), strings.Fields(args)...); a.code != want {
			t.Errorf("%s: code %d, want %d: %s", args, a.code, want, a.err)
		}
	}
}
