package settings

import (
	"testing"
	"testing/fstest"
)

func TestStartCommand(t *testing.T) {
	const byHand, unit = "mxcluster agent run", "systemctl enable --now mxcluster-deny mxcluster-agent"
	own, err := ResolveDirs(Dirs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dirs  Dirs
		there []string
		want  string
	}{
		"nothing that starts it":  {own, nil, byHand},
		"systemd without units":   {own, []string{"run/systemd/system"}, byHand},
		"units without systemd":   {own, []string{"usr/lib/systemd/system/mxcluster-agent.service"}, byHand},
		"a package":               {own, []string{"run/systemd/system", "usr/lib/systemd/system/mxcluster-agent.service"}, unit},
		"units put there by hand": {own, []string{"run/systemd/system", "etc/systemd/system/mxcluster-agent.service"}, unit},
		"other folders":           {Dirs{Config: "/x", State: own.State, Run: own.Run}, []string{"run/systemd/system", "usr/lib/systemd/system/mxcluster-agent.service"}, byHand},
		"openrc":                  {own, []string{"run/openrc", "etc/init.d/mxcluster-agent"}, "rc-update add mxcluster-deny boot && rc-update add mxcluster-agent && rc-service mxcluster-agent start"},
	} {
		files := fstest.MapFS{}
		for _, path := range c.there {
			files[path] = &fstest.MapFile{}
		}
		if got := c.dirs.StartCommand(files); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
